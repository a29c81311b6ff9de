import { useState } from 'preact/hooks'
import type { About, Engine, Facts, Table, Task } from '../engine/engine'
import { shown } from './facts'
import { useLoaded } from './loading'
import { Empty, Trouble } from './notice'
import { ResultPlot } from './result_plot'
import { TaskFilter } from './task_filter'

/** Tables of measured results, with a plot of quality against time or bars of one column. */
export function BenchmarkPage({ engine, place, tasks }: { engine: Engine; place: About['place']; tasks: Task[] }) {
  const shownBy = place === 'server' ? 'unifmir serve' : 'unifmir zoo site OUT'
  const tables = useLoaded(() => engine.benchmarks(), [engine])
  const [task, setTask] = useState('')
  const chosen = (tables.value ?? []).filter((table) => !task || !table.task || table.task === task)
  const own = chosen.filter((table) => table.source || table.problem)
  const ofModels = chosen.filter((table) => !own.includes(table))
  return (
    <section class="reading" aria-labelledby="benchmarks-title">
      <h1 id="benchmarks-title">Benchmarks</h1>
      <p class="lead">
        What models cost and how well they restore. Times are of the machine that is named; those of this
        one: <code>unifmir benchmark --out results.json</code>, shown by <code>{shownBy} --results results.json</code>.
      </p>
      <TaskFilter tasks={tasks} task={task} choose={setTask} />
      {tables.problem && <Trouble problem={tables.problem} />}
      {tables.value && chosen.length === 0 && <Empty>Nothing was measured for this task.</Empty>}
      {own.length > 0 && <h2 class="part">Measured by unifmir benchmark</h2>}
      {own.map((table, index) => (
        <ResultTable key={`${table.title}/${table.source?.file}/${index}`} table={table} />
      ))}
      {ofModels.length > 0 && <h2 class="part">What the models’ entries tell</h2>}
      {ofModels.map((table, index) => (
        <ResultTable key={`${table.title}/${table.task}/${index}`} table={table} />
      ))}
    </section>
  )
}

function ResultTable({ table }: { table: Table }) {
  const { rows, plot, source } = table
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))]
  const title = (name: string) => table.columns?.[name] ?? name.replaceAll('_', ' ')
  const numeric = columns.filter((name) => rows.every((row) => row[name] === null || row[name] === undefined || typeof row[name] === 'number'))
  const named = columns.filter((name) => !numeric.includes(name))
  const measured = numeric.filter((name) => name !== 'rank')
  const [column, setColumn] = useState(measured[0] ?? '')
  return (
    <article class="result">
      <h3>{table.title}</h3>
      {source && (
        <p class="note">
          {source.machine}, {source.created}, <code>{source.file}</code>
        </p>
      )}
      {table.problem && <Trouble problem={{ message: table.problem, hint: '' }} />}
      {rows.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label={`Table: ${table.title}`}>
          <table>
            <thead>
              <tr>
                {plot && <th scope="col">#</th>}
                {columns.map((name) => (
                  <th key={name} scope="col" class={numeric.includes(name) ? 'number' : undefined}>
                    {title(name)}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map((row, index) => (
                <tr key={index}>
                  {plot && <th scope="row">{index + 1}</th>}
                  {columns.map((name) => (
                    <td key={name} class={numeric.includes(name) ? 'number' : String(row[name] ?? '').length > 40 ? 'words' : undefined}>
                      {shown(row[name] ?? null)}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {plot && <ResultPlot rows={rows} plot={plot} title={title} />}
      {measured.length > 0 && rows.length > 1 && (
        <>
          <label class="row">
            <span>Bars of</span>
            <select value={column} onChange={(event) => setColumn(event.currentTarget.value)}>
              {measured.map((name) => (
                <option key={name} value={name}>
                  {title(name)}
                </option>
              ))}
            </select>
          </label>
          <Bars rows={rows} column={column} title={title(column)} named={named} />
        </>
      )}
    </article>
  )
}

function Bars({ rows, column, title, named }: { rows: Record<string, Facts>[]; column: string; title: string; named: string[] }) {
  const most = Math.max(...rows.map((row) => Math.abs(Number(row[column] ?? 0))), 1e-12)
  return (
    <ul class="bars" aria-label={`${title} as bars`}>
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
