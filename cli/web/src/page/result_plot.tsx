import { useEffect, useRef, useState } from 'preact/hooks'
import type { Facts, Table } from '../engine/engine'
import { numberText } from './text'
import { ticks } from '../viewer/ticks'

const HEIGHT = 300
const MARGIN = { left: 56, right: 20, top: 14, bottom: 40 }
/** Least height of the upright axis, in its unit: smaller differences should look small. */
const LEAST_SPAN = 1

/** One column against another by the rows' numbers: quality against time, whose axis has equal steps for equal factors. */
export function ResultPlot({ rows, plot, title }: { rows: Record<string, Facts>[]; plot: NonNullable<Table['plot']>; title: (name: string) => string }) {
  const drawing = useRef<SVGSVGElement>(null)
  const [width, setWidth] = useState(640)
  useEffect(() => {
    if (!drawing.current) return
    const watch = new ResizeObserver(([entry]) => setWidth(Math.max(200, Math.round(entry!.contentRect.width))))
    watch.observe(drawing.current)
    return () => watch.disconnect()
  }, [])
  const points = rows.flatMap((row, index) => {
    const [x, y] = [row[plot.x], row[plot.y]]
    return typeof x === 'number' && typeof y === 'number' && x > 0 ? [{ x, y, number: index + 1 }] : []
  })
  if (points.length < 2) return null
  const times = rangeOf(points.map(({ x }) => Math.log10(x)), 0.1)
  const marks = rangeOf(points.map(({ y }) => y), LEAST_SPAN)
  const across = (x: number) => MARGIN.left + ((Math.log10(x) - times[0]) / (times[1] - times[0])) * (width - MARGIN.left - MARGIN.right)
  const up = (y: number) => HEIGHT - MARGIN.bottom - ((y - marks[0]) / (marks[1] - marks[0])) * (HEIGHT - MARGIN.top - MARGIN.bottom)
  return (
    <svg
      ref={drawing}
      class="plot"
      height={HEIGHT}
      viewBox={`0 0 ${width} ${HEIGHT}`}
      role="img"
      aria-label={`${title(plot.y)} against ${title(plot.x)}, a point for each numbered row of the table`}
    >
      {ticks(marks).map((value) => (
        <g key={value}>
          <line x1={MARGIN.left} x2={width - MARGIN.right} y1={up(value)} y2={up(value)} class="grid" />
          <text x={MARGIN.left - 6} y={up(value) + 3} text-anchor="end">
            {numberText(value)}
          </text>
        </g>
      ))}
      {logarithmic(times).map((value) => (
        <text key={value} x={across(value)} y={HEIGHT - MARGIN.bottom + 16} text-anchor="middle">
          {numberText(value)}
        </text>
      ))}
      <text x={(MARGIN.left + width - MARGIN.right) / 2} y={HEIGHT - 6} text-anchor="middle">
        {title(plot.x)}
      </text>
      <text x={14} y={HEIGHT / 2} text-anchor="middle" transform={`rotate(-90 14 ${HEIGHT / 2})`}>
        {title(plot.y)}
      </text>
      {apart(points.map((point) => ({ ...point, left: across(point.x), top: up(point.y) }))).map(({ number, left, top, lifted }) => (
        <g key={number}>
          <circle cx={left} cy={top} r="4" />
          <text x={left} y={top - 8 - lifted} text-anchor="middle" class="mark">
            {number}
          </text>
        </g>
      ))}
    </svg>
  )
}

function rangeOf(values: number[], least: number): [number, number] {
  const [low, high] = [Math.min(...values), Math.max(...values)]
  const more = Math.max(least - (high - low), 0) / 2 + 0.06 * Math.max(high - low, least)
  return [low - more, high + more]
}

/** 1, 2 and 5 of each power of ten inside a range of logarithms; ends of the range where there are none. */
function logarithmic([low, high]: [number, number]): number[] {
  const found: number[] = []
  for (let power = Math.floor(low); power <= high; power++)
    for (const step of [1, 2, 5]) if (power + Math.log10(step) >= low && power + Math.log10(step) <= high) found.push(Number((step * 10 ** power).toPrecision(3)))
  return found.length > 1 ? found : [10 ** low, 10 ** high].map((value) => Number(value.toPrecision(2)))
}

/** Numbers above one another where points lie so near that they would cover each other. */
function apart<T extends { left: number; top: number }>(points: T[]): (T & { lifted: number })[] {
  const placed: (T & { lifted: number })[] = []
  for (const point of points) {
    let lifted = 0
    while (placed.some((one) => Math.abs(one.left - point.left) < 16 && Math.abs(one.top - one.lifted - (point.top - lifted)) < 11)) lifted += 11
    placed.push({ ...point, lifted })
  }
  return placed
}
