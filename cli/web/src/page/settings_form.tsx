import type { About, Model, Settings } from '../engine/engine'
import type { StackFacts } from '../images/stack'
import { numberText } from './text'

export interface Choice {
  task: string
  /** Empty: the one that ships with unifmir. */
  model: string
  /** Null: all. */
  channel: number | null
  z: [number, number]
  t: [number, number]
  /** By the names of `unifmir restore`; what is empty is left to it. */
  options: Record<string, string>
}

export function fresh(about: About, stack?: StackFacts): Choice {
  return {
    task: about.tasks[0]?.name ?? '',
    model: '',
    channel: null,
    z: [0, (stack?.sizes.z ?? 1) - 1],
    t: [0, (stack?.sizes.t ?? 1) - 1],
    options: {},
  }
}

/** The choice in the names of `unifmir restore`. */
export function chosenSettings(choice: Choice, stack: StackFacts): Settings {
  const settings: Settings = { task: choice.task }
  if (choice.model) settings.model = choice.model
  if (choice.channel !== null && stack.sizes.c > 1) settings.channel = choice.channel
  for (const [name, value] of Object.entries(choice.options)) {
    if (value === '') continue
    const option = OPTIONS.find((one) => one.name === name)
    if (option?.tasks && !option.tasks.includes(choice.task)) continue
    settings[name] = option?.number ? Number(value) : name === 'fast' ? value === 'yes' : value
  }
  return settings
}

interface Option {
  name: string
  title: string
  /** None: a number is typed. */
  choices?: [value: string, title: string][]
  number?: boolean
  /** Tasks that it is for; all if not given. */
  tasks?: string[]
  help: string
}

const Z_FACTOR: Option = { name: 'z_factor', title: 'z step : pixel', number: true, tasks: ['isotropic'], help: '' }

const OPTIONS: Option[] = [
  Z_FACTOR,
  {
    name: 'lens_pitch',
    title: 'Pixels a lens',
    number: true,
    tasks: ['volume'],
    help: 'Where they are not those of the network.',
  },
  {
    name: 'planes',
    title: 'Planes',
    choices: [['', 'interpolated'], ['crop', 'cropped around the surface']],
    tasks: ['projection'],
    help: 'Of stacks with another number of planes than the network reads.',
  },
  {
    name: 'intensity',
    title: 'Intensities',
    choices: [['', 'as the task has them'], ['percentile', 'percentiles'], ['matched', 'matched by a line'], ['local', 'line and low frequencies']],
    help: 'How the result gets the image’s intensities back.',
  },
  {
    name: 'dtype',
    title: 'Pixels of the result',
    choices: [['', 'real numbers (float32)'], ['input', 'as the image, rounded']],
    help: '',
  },
  {
    name: 'precision',
    title: 'Arithmetic',
    choices: [['', 'fp32'], ['fp16', 'fp16'], ['bf16', 'bf16']],
    help: 'Refused where the picture would change.',
  },
  {
    name: 'tile',
    title: 'Tiles',
    number: true,
    choices: [['', 'what memory allows'], ['64', '64 px'], ['128', '128 px'], ['256', '256 px'], ['512', '512 px']],
    help: 'Pixels at a side that are restored at once.',
  },
  {
    name: 'runtime',
    title: 'Computed by',
    choices: [['', 'what is faster, measured'], ['wasm', 'the processor'], ['webgpu', 'the graphics card']],
    help: '',
  },
  {
    name: 'fast',
    title: 'Speed',
    choices: [['', 'whole network'], ['yes', 'fewer layers, less quality']],
    help: '',
  },
]

interface Props {
  about: About
  models: Model[]
  stack: StackFacts
  choice: Choice
  busy: boolean
  onChange: (choice: Choice) => void
  onSubmit: () => void
}

export function SettingsForm({ about, models, stack, choice, busy, onChange, onSubmit }: Props) {
  const set = (part: Partial<Choice>) => onChange({ ...choice, ...part })
  const task = about.tasks.find((one) => one.name === choice.task)
  const fitting = models.filter((model) => model.tasks.includes(choice.task))
  // What is taken where none is named.
  const first = fitting.find((model) => model.available && model.embedded) ?? fitting.find((model) => model.available)
  const known = (one: Option) => about.settings.includes(one.name) && (!one.tasks || one.tasks.includes(choice.task))
  const more = OPTIONS.filter((one) => one !== Z_FACTOR && known(one))
  const option = (name: string, value: string) => set({ options: { ...choice.options, [name]: value } })
  const misfit = task?.input.includes('z') && stack.sizes.z === 1 && stack.sizes.t === 1
  return (
    <form
      id="restoration"
      class="block"
      aria-label="Restoration"
      onSubmit={(event) => {
        event.preventDefault()
        onSubmit()
      }}
    >
      <fieldset class="tasks" disabled={busy}>
        <legend>Task</legend>
        {about.tasks.map((one) => (
          <label key={one.name}>
            <input type="radio" name="task" value={one.name} checked={choice.task === one.name} onChange={() => set({ task: one.name, model: '' })} />
            <span>{one.title}</span>
          </label>
        ))}
      </fieldset>
      {task && <p class="note">{task.summary}</p>}
      {misfit && <p class="note warn">This task reads stacks; the open image has one slice.</p>}
      <fieldset class="rows" disabled={busy}>
        <legend class="hidden">Model and part of the image</legend>
        <label class="row">
          <span>Model</span>
          <select value={choice.model} onChange={(event) => set({ model: event.currentTarget.value })}>
            <option value="">{!first || first.embedded ? 'ships with unifmir' : first.id}</option>
            {fitting
              .filter((model) => model !== first && !model.embedded)
              .map((model) => (
                <option key={model.id} value={model.id} disabled={!model.available}>
                  {model.id}
                  {model.available ? '' : about.place === 'browser' ? ' (not in this site)' : ' (not on this machine)'}
                </option>
              ))}
          </select>
        </label>
        {stack.sizes.c > 1 && (
          <label class="row">
            <span>Channel</span>
            <select
              value={choice.channel === null ? '' : String(choice.channel)}
              onChange={(event) => set({ channel: event.currentTarget.value === '' ? null : Number(event.currentTarget.value) })}
            >
              <option value="">all {stack.sizes.c}</option>
              {stack.channels.map((name, index) => (
                <option key={index} value={String(index)}>
                  {name ?? `channel ${index + 1}`}
                </option>
              ))}
            </select>
          </label>
        )}
        <Range title="Slices" count={stack.sizes.z} value={choice.z} onChange={(z) => set({ z })} />
        <Range title="Frames" count={stack.sizes.t} value={choice.t} onChange={(t) => set({ t })} />
        {known(Z_FACTOR) && <ZStep stack={stack} value={choice.options.z_factor ?? ''} onChange={(value) => option('z_factor', value)} />}
      </fieldset>
      <details class="options">
        <summary>More settings</summary>
        <fieldset class="rows" disabled={busy}>
          <legend class="hidden">More settings</legend>
          {more.map((one) => (
            <label key={one.name} class="row" title={one.help || undefined}>
              <span>{one.title}</span>
              {!one.choices ? (
                <input
                  type="number"
                  min={0}
                  step="any"
                  placeholder="from the file"
                  value={choice.options[one.name] ?? ''}
                  onChange={(event) => option(one.name, event.currentTarget.value)}
                />
              ) : (
                <select value={choice.options[one.name] ?? ''} onChange={(event) => option(one.name, event.currentTarget.value)}>
                  {one.choices.map(([value, title]) => (
                    <option key={value} value={value}>
                      {title}
                    </option>
                  ))}
                </select>
              )}
            </label>
          ))}
        </fieldset>
      </details>
    </form>
  )
}

/** Step along z over the pixel size: what the file says of both, else it has to be told. */
function ZStep({ stack, value, onChange }: { stack: StackFacts; value: string; onChange: (value: string) => void }) {
  const { x, z } = stack.sampling
  const said = x && z ? numberText(z / x) : null
  return (
    <>
      <label class="row">
        <span>{Z_FACTOR.title}</span>
        <input
          type="number"
          min={0.01}
          step="any"
          required={said === null}
          placeholder={said ?? ''}
          value={value}
          aria-describedby="z-factor-note"
          onChange={(event) => onChange(event.currentTarget.value)}
        />
      </label>
      <p class="note" id="z-factor-note">
        {said === null
          ? 'The file does not say how far its slices lie apart: the step along z over the pixel size, or 1 where they were interpolated to it.'
          : `The file says ${said}: its step along z over its pixel size.`}
      </p>
    </>
  )
}

/** First and last of an axis, counted from 1. */
function Range({ title, count, value, onChange }: { title: string; count: number; value: [number, number]; onChange: (value: [number, number]) => void }) {
  if (count < 2) return null
  const take = (index: 0 | 1, text: string) => {
    const place = Math.min(count, Math.max(1, Math.round(Number(text)) || 1)) - 1
    onChange(index === 0 ? [place, Math.max(place, value[1])] : [Math.min(place, value[0]), place])
  }
  return (
    <div class="row" role="group" aria-label={title}>
      <span>{title}</span>
      <span class="pair">
        <input type="number" min={1} max={count} value={value[0] + 1} aria-label={`First of the ${title.toLowerCase()}`} onChange={(event) => take(0, event.currentTarget.value)} />
        <span aria-hidden="true">–</span>
        <input type="number" min={1} max={count} value={value[1] + 1} aria-label={`Last of the ${title.toLowerCase()}`} onChange={(event) => take(1, event.currentTarget.value)} />
        <small>of {count}</small>
      </span>
    </div>
  )
}
