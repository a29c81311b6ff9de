import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { profile } from '../images/profile'
import { numberText } from '../page/text'
import type { Shown } from './planes'
import { ticks } from './ticks'
import type { Line } from './viewer'
import type { Extent } from './viewport'

interface Props {
  line: Line
  planes: Shown
  extent: Extent
  micrometres: number | null
  /** Image and result have other units, and so an axis each. */
  apart: boolean
}

const HEIGHT = 150
const MARGIN = { left: 56, right: 16, top: 10, bottom: 24 }

/** Numbers of image and result along a line. */
export function ProfilePanel({ line, planes, extent, micrometres, apart }: Props) {
  const [at, setAt] = useState<number | null>(null)
  const plot = useRef<SVGSVGElement>(null)
  const [width, setWidth] = useState(480)
  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => setWidth(Math.max(200, Math.round(entry!.contentRect.width))))
    watch.observe(plot.current!)
    return () => watch.disconnect()
  }, [])
  const pixels = Math.hypot((line.to.x - line.from.x) * extent.width, (line.to.y - line.from.y) * extent.height)
  const count = Math.min(2000, Math.max(2, Math.ceil(pixels) + 1))
  const before = useMemo(() => profile(planes.before, line.from, line.to, count), [planes, line, count])
  const after = useMemo(() => planes.after && profile(planes.after, line.from, line.to, count), [planes, line, count])
  const length = micrometres ? pixels * micrometres : pixels
  const unit = micrometres ? 'µm' : 'px'
  const ranges = apart && after ? [rangeOf([before]), rangeOf([after])] : [rangeOf(after ? [before, after] : [before])]
  const x = (index: number) => MARGIN.left + (index / (count - 1)) * (width - MARGIN.left - MARGIN.right)
  const y = (value: number, [low, high]: [number, number]) =>
    HEIGHT - MARGIN.bottom - ((value - low) / (high - low)) * (HEIGHT - MARGIN.top - MARGIN.bottom)
  const path = (values: Float64Array, range: [number, number]) =>
    `M${Array.from(values, (value, index) => `${x(index).toFixed(1)} ${y(value, range).toFixed(1)}`).join('L')}`

  function save() {
    const rows = Array.from(before, (value, index) => [((index / (count - 1)) * length).toPrecision(6), value, ...(after ? [after[index]] : [])].join(','))
    const head = [`distance_${micrometres ? 'um' : 'px'}`, 'before', ...(after ? ['after'] : [])].join(',')
    const link = document.createElement('a')
    link.href = URL.createObjectURL(new Blob([[head, ...rows].join('\n'), '\n'], { type: 'text/csv' }))
    link.download = 'profile.csv'
    link.click()
    URL.revokeObjectURL(link.href)
  }

  return (
    <section class="profile" aria-labelledby="profile-title">
      <div class="head">
        <h2 id="profile-title">Line profile</h2>
        <output>
          {at === null
            ? `${numberText(length)} ${unit}`
            : `${numberText((at / (count - 1)) * length)} ${unit} · before ${numberText(before[at]!)}${after ? ` · after ${numberText(after[at]!)}` : ''}`}
        </output>
        <button type="button" onClick={save}>
          CSV
        </button>
      </div>
      <svg
        ref={plot}
        height={HEIGHT}
        viewBox={`0 0 ${width} ${HEIGHT}`}
        role="img"
        aria-label={`Line profile of ${numberText(length)} ${unit}: ${summary('image', before)}${after ? `; ${summary('result', after)}` : ''}`}
        onPointerMove={(event) => {
          const box = event.currentTarget.getBoundingClientRect()
          const share = (((event.clientX - box.left) / box.width) * width - MARGIN.left) / (width - MARGIN.left - MARGIN.right)
          setAt(share < 0 || share > 1 ? null : Math.round(share * (count - 1)))
        }}
        onPointerLeave={() => setAt(null)}
      >
        {ticks(ranges[0]!).map((value) => (
          <g key={value}>
            <line x1={MARGIN.left} x2={width - MARGIN.right} y1={y(value, ranges[0]!)} y2={y(value, ranges[0]!)} class="grid" />
            <text x={MARGIN.left - 6} y={y(value, ranges[0]!) + 3} text-anchor="end">
              {numberText(value)}
            </text>
          </g>
        ))}
        {ticks([0, length]).map((value, index, all) => (
          <text key={value} x={MARGIN.left + (value / length) * (width - MARGIN.left - MARGIN.right)} y={HEIGHT - 8} text-anchor="middle">
            {numberText(value)}
            {index === all.length - 1 && ` ${unit}`}
          </text>
        ))}
        <path d={path(before, ranges[0]!)} class="before" />
        {after && <path d={path(after, ranges.at(-1)!)} class="after" />}
        {at !== null && <line x1={x(at)} x2={x(at)} y1={MARGIN.top} y2={HEIGHT - MARGIN.bottom} class="cursor" />}
      </svg>
      <p class="key">
        <span class="before">before</span>
        {after && <span class="after">after</span>}
        {apart && after && <small>Each by its own range; the numbers are of the image.</small>}
      </p>
    </section>
  )
}

function summary(name: string, values: Float64Array): string {
  return `${name} from ${numberText(Math.min(...values))} to ${numberText(Math.max(...values))}`
}

function rangeOf(curves: Float64Array[]): [number, number] {
  const finite = curves.flatMap((curve) => [...curve]).filter(Number.isFinite)
  if (finite.length === 0) return [0, 1]
  const [low, high] = [Math.min(...finite), Math.max(...finite)]
  return high > low ? [low, high] : [low - 0.5, low + 0.5]
}
