import { useState } from 'preact/hooks'
import type { Plane } from '../images/stack'
import { AUTO, type Window } from '../images/window'
import { numberText } from '../page/text'
import { automatic, joined, rangeOf, type Contrast } from './contrast'
import { Segments } from './controls'
import { useHistogram, type Shown, type Spreads } from './planes'

interface Props {
  contrast: Contrast
  spreads: Spreads
  planes: Shown | null
  paired: boolean
  onChange: (contrast: Contrast) => void
}

const BINS = 160
type Which = 'before' | 'after'

/** Histograms of the planes on the screen, and the window that becomes black to white. */
export function ContrastPanel({ contrast, spreads, planes, paired, onChange }: Props) {
  const [edited, setEdited] = useState<Which>('after')
  const which: Which = contrast.shared || !paired ? 'before' : edited
  const window = contrast[which]
  const fresh = automatic(spreads.before, spreads.after)
  const base = contrast.shared ? joined(fresh.before, fresh.after) : fresh[which]
  const listed = contrast.shared ? [spreads.before, ...(spreads.after ? [spreads.after] : [])] : [which === 'before' ? spreads.before : spreads.after!]
  const range = rangeOf(listed, window)
  const set = (next: Window) => {
    const kept = next.high > next.low ? next : { low: next.low, high: next.low + (range.high - range.low) * 1e-4 }
    onChange(contrast.shared ? { ...contrast, before: kept, after: kept } : { ...contrast, [which]: kept })
  }
  function share(shared: boolean) {
    const both = joined(contrast.before, contrast.after)
    onChange(shared ? { ...contrast, shared, before: both, after: both } : { ...contrast, ...windowsOf(fresh, spreads), shared })
  }
  return (
    <section class="contrast" aria-labelledby="contrast-title">
      <div class="head">
        <h2 id="contrast-title">Contrast</h2>
        <button type="button" onClick={() => set(base)} title={`From the ${AUTO[0]}th to the ${AUTO[1]}th percentile`}>
          Auto
        </button>
      </div>
      <Histogram planes={planes} range={range} window={window} only={contrast.shared ? null : which} />
      {paired && (
        <label class="check">
          <input type="checkbox" checked={contrast.shared} onChange={(event) => share(event.currentTarget.checked)} />
          <span>One contrast for both</span>
        </label>
      )}
      <p class="note">{explained(contrast, paired)}</p>
      {paired && !contrast.shared && (
        <Segments title="Contrast of" choices={[['before', 'Before'], ['after', 'After']]} value={which} onChange={setEdited} />
      )}
      <Level title="Black" value={window.low} range={range} onChange={(low) => set({ ...window, low: Math.min(low, window.high) })} />
      <Level title="White" value={window.high} range={range} onChange={(high) => set({ ...window, high: Math.max(high, window.low) })} />
      <label class="scrubber">
        <span>Gamma</span>
        <input
          type="range"
          min={0.2}
          max={2.5}
          step={0.05}
          value={contrast.gamma}
          aria-valuetext={contrast.gamma.toFixed(2)}
          onInput={(event) => onChange({ ...contrast, gamma: Number(event.currentTarget.value) })}
        />
        <output>{contrast.gamma.toFixed(2)}</output>
      </label>
    </section>
  )
}

/** Each image's own window, also where one for both is the default. */
function windowsOf(fresh: Contrast, { before, after }: Spreads): Pick<Contrast, 'before' | 'after'> {
  return fresh.shared && after ? { before: before.window, after: after.window } : fresh
}

function explained(contrast: Contrast, paired: boolean): string {
  if (!paired) return `Auto: ${AUTO[0]} to ${AUTO[1]} % of the pixels of this channel.`
  if (contrast.shared) return 'The same grey is the same number in both pictures.'
  if (contrast.unlike) return 'Image and result are in other units: each has a contrast of its own.'
  return 'Each picture has a contrast of its own: greys cannot be compared.'
}

function Level({ title, value, range, onChange }: { title: string; value: number; range: Window; onChange: (value: number) => void }) {
  const step = (range.high - range.low) / 500
  return (
    <div class="scrubber" role="group" aria-label={`${title} point`}>
      <span>{title}</span>
      <input
        type="range"
        min={range.low}
        max={range.high}
        step={step}
        value={value}
        aria-label={`${title} point`}
        aria-valuetext={numberText(value)}
        onInput={(event) => onChange(Number(event.currentTarget.value))}
      />
      <input
        type="number"
        step="any"
        value={Number(value.toPrecision(5))}
        aria-label={`${title} point as a number`}
        onChange={(event) => Number.isFinite(event.currentTarget.valueAsNumber) && onChange(event.currentTarget.valueAsNumber)}
      />
    </div>
  )
}

function Histogram({ planes, range, window, only }: { planes: Shown | null; range: Window; window: Window; only: Which | null }) {
  const curves = {
    before: useCurve(planes, 'before', range, only === 'after'),
    after: useCurve(planes, 'after', range, only === 'before'),
  }
  const place = (value: number) => ((value - range.low) / (range.high - range.low)) * BINS
  return (
    <svg class="histogram" viewBox={`0 0 ${BINS} 60`} preserveAspectRatio="none" role="img" aria-label="Histogram of the plane on the screen, counts by their logarithm">
      <rect x={place(window.low)} width={Math.max(0, place(window.high) - place(window.low))} y="0" height="60" class="window" />
      <path d={curves.before} class="before" />
      <path d={curves.after} class="after" />
    </svg>
  )
}

/** Outline of a plane's histogram; empty where there is none, or it is not wanted. */
function useCurve(planes: Shown | null, which: Which, range: Window, hidden: boolean): string {
  const plane = planes?.[which] ?? null
  const { steps, to } = plane ? stepsOf(range, plane) : { steps: BINS, to: range.high }
  const counts = useHistogram(plane && !hidden ? planes!.at[which] : null, { low: range.low, high: to }, steps)
  return counts ? curve(counts, (to - range.low) / (range.high - range.low)) : ''
}

/** Steps of a histogram, and where they end: of whole numbers for whole numbers, else a comb shows. */
function stepsOf(range: Window, { data }: Plane): { steps: number; to: number } {
  const whole = !(data instanceof Float32Array || data instanceof Float64Array) && Number.isInteger(range.low)
  if (!whole) return { steps: BINS, to: range.high }
  const step = Math.max(1, Math.ceil((range.high - range.low + 1) / BINS))
  const steps = Math.ceil((range.high - range.low + 1) / step)
  // The last value of the last step, as a histogram includes its end.
  return { steps, to: range.low + steps * step - 1e-9 }
}

/** Counts by their logarithm: the few bright pixels are what matters. */
function curve(counts: Uint32Array, stretch: number): string {
  const most = Math.log1p(Math.max(1, ...counts))
  const width = (BINS * stretch) / counts.length
  const points = Array.from(counts, (count, index) => {
    const top = (58 - (Math.log1p(count) / most) * 54).toFixed(1)
    return `L${(index * width).toFixed(2)} ${top}H${((index + 1) * width).toFixed(2)}`
  })
  return `M0 58${points.join('')}V58Z`
}
