import { useState } from 'preact/hooks'
import type { Engine, Facts, Table, Task } from '../engine/engine'
import { shown } from './facts'
import { useLoaded } from './loading'
import { Empty, Trouble } from './notice'
import { TaskFilter } from './task_filter'

/** Tables of measured results, and bars for one of their columns. */
export function BenchmarkPage({ engine, tasks }: { engine: Engine; tasks: Task[] }) {
  const tables = useLoaded(() => engine.benchmarks(), [engine])
  const [task, setTask] = useState('')
  const chosen = (tables.value ?? []).filter((table) => !task || table.task === task)
  return (
    <section class="reading" aria-labelledby="benchmarks-title">
      <h1 id="benchmarks-title">Benchmarks</h1>
      <p class="lead">
        What was measured of each model, as its zoo entry tells it with its source. What a model costs
        on this machine: <code>unifmir benchmark</code>, in a terminal.
      </p>
      <TaskFilter tasks={tasks} task={task} choose={setTask} />
      {tables.problem && <Trouble problem={tables.problem} />}
      {tables.value && chosen.length === 0 && (
        <Empty>No model of the zoo has measured results for this task.</Empty>
      )}
      {chosen.map((table, index) => (
        <ResultTable key={`${table.title}/${table.task}/${index}`} table={table} />
      ))}
    </section>
  )
}

function ResultTable({ table }: { table: Table }) {
  const columns = [...new Set(table.rows.flatMap((row) => Object.keys(row)))]
  const numeric = columns.filter((name) => table.rows.every((row) => row[name] === null || row[name] === undefined || typeof row[name] === 'number'))
  const [column, setColumn] = useState(numeric[0] ?? '')
  const named = columns.filter((name) => !numeric.includes(name))
  return (
    <article class="result">
      <h2>{table.title}</h2>
      <div class="scroll" tabIndex={0} role="region" aria-label={`Table: ${table.title}`}>
        <table>
          <thead>
            <tr>
              {columns.map((name) => (
                <th key={name} scope="col" class={numeric.includes(name) ? 'number' : undefined}>
                  {name.replaceAll('_', ' ')}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {table.rows.map((row, index) => (
              <tr key={index}>
                {columns.map((name) => (
                  <td key={name} class={numeric.includes(name) ? 'number' : undefined}>
                    {shown(row[name] ?? null)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {numeric.length > 0 && table.rows.length > 1 && (
        <>
          <label class="row">
            <span>Bars of</span>
            <select value={column} onChange={(event) => setColumn(event.currentTarget.value)}>
              {numeric.map((name) => (
                <option key={name} value={name}>
                  {name.replaceAll('_', ' ')}
                </option>
              ))}
            </select>
          </label>
          <Bars rows={table.rows} column={column} named={named} />
        </>
      )}
    </article>
  )
}

function Bars({ rows, column, named }: { rows: Record<string, Facts>[]; column: string; named: string[] }) {
  const most = Math.max(...rows.map((row) => Math.abs(Number(row[column] ?? 0))), 1e-12)
  return (
    <ul class="bars" aria-label={`${column.replaceAll('_', ' ')} as bars`}>
      {rows.map((row, index) => (
        <li key={index}>
          <span>{named.slice(0, 3).map((name) => shown(row[name] ?? null)).join(' · ') || index + 1}</span>
          <i style={{ width: `${(Math.abs(Number(row[column] ?? 0)) / most) * 100}%` }} aria-hidden="true" />
          <b>{shown(row[column] ?? null)}</b>
        </li>
      ))}
    </ul>
  )
}
