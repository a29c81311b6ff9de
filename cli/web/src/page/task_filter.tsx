import type { Task } from '../engine/engine'

/** Choice of one task of a list, or all of them (an empty name). */
export function TaskFilter({ tasks, task, choose }: { tasks: Task[]; task: string; choose: (task: string) => void }) {
  return (
    <label class="row">
      <span>Task</span>
      <select value={task} onChange={(event) => choose(event.currentTarget.value)}>
        <option value="">all</option>
        {tasks.map((one) => (
          <option key={one.name} value={one.name}>
            {one.title}
          </option>
        ))}
      </select>
    </label>
  )
}
