import { useState } from 'preact/hooks'
import type { About, Engine, Measured, Model, Task, Trial } from '../engine/engine'
import { FactList } from './facts'
import { useLoaded } from './loading'
import { Empty, Trouble, Words } from './notice'
import { TaskFilter } from './task_filter'
import { countText, numberText } from './text'

/** The zoo: a card for each model, with everything that is known of it. */
export function ModelPage({ engine, about }: { engine: Engine; about: About }) {
  const { tasks } = about
  const models = useLoaded(() => engine.models(), [engine])
  const [task, setTask] = useState('')
  const all = models.value ?? []
  const shown = all.filter((model) => !task || model.tasks.includes(task))
  return (
    <section class="reading" aria-labelledby="models-title">
      <h1 id="models-title">Models</h1>
      <p class="lead">
        What each model was trained on, what it may be used for, and what was measured of it.{' '}
        {about.place === 'browser' ? (
          'Those with “Try it” restore in this browser; nothing leaves this machine.'
        ) : (
          <>
            Models without a file on this machine are fetched with <code>unifmir zoo pull</code>.
          </>
        )}
      </p>
      <TaskFilter tasks={tasks} task={task} choose={setTask} />
      {models.problem && <Trouble problem={models.problem} />}
      {models.value && shown.length === 0 && <Empty>No model for this task.</Empty>}
      <ul class="cards">
        {shown.map((model) => (
          <Card key={model.id} model={model} engine={engine} tasks={tasks} place={about.place} />
        ))}
      </ul>
    </section>
  )
}

function Card({ model, engine, tasks, place }: { model: Model; engine: Engine; tasks: Task[]; place: About['place'] }) {
  const [open, setOpen] = useState(false)
  const titles = model.tasks.map((name) => tasks.find((task) => task.name === name)?.title ?? name)
  return (
    <li class="card">
      <h2>{model.title}</h2>
      <p class="id">
        <code>{model.id}</code>
        <span class={model.available ? 'here' : 'away'}>
          {place === 'browser'
            ? model.available
              ? 'can be tried here'
              : 'not in this site'
            : model.embedded
              ? 'ships with unifmir'
              : model.available
                ? 'on this machine'
                : 'not on this machine'}
        </span>
      </p>
      {model.missing && <p class="note"><Words text={model.missing} /></p>}
      {model.trials && model.trials.length > 0 && <Trials model={model} trials={model.trials} tasks={tasks} />}
      <dl class="short">
        <div>
          <dt>Tasks</dt>
          <dd>{titles.join(', ')}</dd>
        </div>
        <div>
          <dt>Licence</dt>
          <dd>{model.licence || 'not said'}</dd>
        </div>
        {model.parameters !== null && (
          <div>
            <dt>Parameters</dt>
            <dd>{countText(model.parameters)}</dd>
          </div>
        )}
        {model.cite.length > 0 && (
          <div>
            <dt>Cite</dt>
            <dd>
              {model.cite.map((doi) => (
                <a key={doi} class="line-each" href={/^https?:/.test(doi) ? doi : `https://doi.org/${doi}`} rel="noreferrer">
                  {doi}
                </a>
              ))}
            </dd>
          </div>
        )}
      </dl>
      <MeasuredTable measured={model.measured} />
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>Everything known</summary>
        {open && <Everything engine={engine} id={model.id} />}
      </details>
    </li>
  )
}

/** What a model makes of the sample image of each task, and the way to try it. */
function Trials({ model, trials, tasks }: { model: Model; trials: Trial[]; tasks: Task[] }) {
  return (
    <ul class="trials">
      {trials.map(({ task, pictures }) => {
        const title = tasks.find((one) => one.name === task)?.title ?? task
        return (
          <li key={task}>
            <div class="before-after" style={{ aspectRatio: `${2 * pictures.width} / ${pictures.height}` }}>
              <img src={pictures.before} alt={`${title}: the image`} loading="lazy" />
              <img src={pictures.after} alt={`${title}: restored`} loading="lazy" />
            </div>
            <a href={`#restore/${task}/${encodeURIComponent(model.id)}`}>Try it: {title}</a>
          </li>
        )
      })}
    </ul>
  )
}

/** Few figures of a card; all are under "everything known". */
function MeasuredTable({ measured }: { measured: Measured[] }) {
  const sets = [...new Set(measured.map((one) => one.dataset))]
  const wanted = ['unfitted PSNR', 'fitted PSNR', 'unfitted SSIM', 'fitted SSIM']
  const names = wanted.filter((name) => measured.some((one) => one.metric === name)).slice(0, 3)
  if (names.length === 0) return null
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Measured">
      <table>
        <thead>
          <tr>
            <th scope="col">Measured on</th>
            {names.map((name) => (
              <th key={name} scope="col" class="number">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {sets.map((set) => (
            <tr key={set}>
              <th scope="row">{set}</th>
              {names.map((name) => {
                const found = measured.find((one) => one.dataset === set && one.metric === name)
                return (
                  <td key={name} class="number">
                    {found ? `${numberText(found.value)}${found.unit ? ` ${found.unit}` : ''}` : '–'}
                  </td>
                )
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function Everything({ engine, id }: { engine: Engine; id: string }) {
  const entry = useLoaded(() => engine.model(id), [engine, id])
  if (entry.problem) return <Trouble problem={entry.problem} />
  return entry.value === null ? <p aria-busy="true">Loading…</p> : <FactList facts={entry.value} />
}
