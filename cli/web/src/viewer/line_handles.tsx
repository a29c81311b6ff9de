import { useRef } from 'preact/hooks'
import type { Rect } from './renderer'
import type { Line } from './viewer'
import { placed, type Extent, type View } from './viewport'

interface Props {
  line: Line
  view: View
  extent: Extent
  regions: Rect[]
  ratio: number
  onLine: (line: Line) => void
}

/** The line of a profile over the pictures; its ends are moved by pointer and by arrow keys. */
export function LineHandles({ line, view, extent, regions, ratio, onLine }: Props) {
  const held = useRef<'from' | 'to' | null>(null)
  const inside = (value: number) => Math.min(1, Math.max(0, value))
  return (
    <>
      {regions.map((region, part) => {
        const at = placed(view, extent, region)
        const place = ({ x, y }: { x: number; y: number }) => ({ x: (at.x + x * at.width) / ratio, y: (at.y + y * at.height) / ratio })
        const [a, b] = [place(line.from), place(line.to)]
        return (
          <>
            <svg class="line" aria-hidden="true">
              <line x1={a.x} y1={a.y} x2={b.x} y2={b.y} class="shade" />
              <line x1={a.x} y1={a.y} x2={b.x} y2={b.y} />
            </svg>
            {part === 0 &&
              (['from', 'to'] as const).map((end) => {
                const spot = end === 'from' ? a : b
                const move = (x: number, y: number) => onLine({ ...line, [end]: { x: inside(x), y: inside(y) } })
                const { x, y } = line[end]
                return (
                  <button
                    key={end}
                    type="button"
                    class="handle"
                    style={{ left: `${spot.x}px`, top: `${spot.y}px` }}
                    aria-label={`${end === 'from' ? 'Start' : 'End'} of the profile, ${Math.round(x * extent.width)} across, ${Math.round(y * extent.height)} down; arrow keys move it`}
                    onPointerDown={(event) => {
                      held.current = end
                      event.currentTarget.setPointerCapture(event.pointerId)
                      event.stopPropagation()
                    }}
                    onPointerMove={(event) => {
                      if (held.current !== end) return
                      const box = event.currentTarget.parentElement!.getBoundingClientRect()
                      move(((event.clientX - box.left) * ratio - at.x) / at.width, ((event.clientY - box.top) * ratio - at.y) / at.height)
                    }}
                    onPointerUp={() => (held.current = null)}
                    onKeyDown={(event) => {
                      const step = event.shiftKey ? 10 : 1
                      const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0]
                      if (!dx && !dy) return
                      event.preventDefault()
                      move(x + (dx! * step) / extent.width, y + (dy! * step) / extent.height)
                    }}
                  />
                )
              })}
          </>
        )
      })}
    </>
  )
}
