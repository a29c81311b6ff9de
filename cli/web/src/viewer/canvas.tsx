import { useEffect, useRef, useState } from 'preact/hooks'
import type { ShownPlane } from '../images/stack'
import { problemOf, type Problem } from '../page/loading'
import { Trouble } from '../page/notice'
import { numberText } from '../page/text'
import type { Contrast } from './contrast'
import { picturesOf, regionsOf } from './layout'
import { LineHandles } from './line_handles'
import type { Mode, Shown } from './planes'
import { readout } from './readout'
import { Painter } from './painter'
import type { Rect } from './renderer'
import type { Line } from './viewer'
import { barLength, fitted, moved, zoomed, type Extent, type View } from './viewport'

export interface CanvasProps {
  planes: Shown | null
  extent: Extent
  micrometres: number | null
  mode: Mode
  contrast: Contrast | null
  divider: number
  view: View | null
  line: Line | null
  shown: boolean
  onDivider: (share: number) => void
  onView: (view: View | null) => void
  onLine: (line: Line) => void
  onStep: (step: number) => void
}

const HELP =
  'Plus and minus zoom, 0 fits, 1 shows each pixel as one of the screen, arrows move the picture, ' +
  'comma and full stop go through slices, square brackets move the divider.'

/** The picture: drawn by WebGL, moved by pointer, wheel, pinch and keyboard. */
export function Canvas(props: CanvasProps) {
  const { planes, extent, mode, contrast, divider, line } = props
  const box = useRef<HTMLDivElement>(null)
  const canvas = useRef<HTMLCanvasElement>(null)
  const painter = useRef<Painter | null>(null)
  const [screen, setScreen] = useState<Extent>({ width: 0, height: 0 })
  const [problem, setProblem] = useState<Problem | null>(null)
  const [pointer, setPointer] = useState<{ x: number; y: number } | null>(null)
  const ratio = globalThis.devicePixelRatio || 1

  useEffect(() => {
    const lack = (message: string) => setProblem({ message, hint: 'Results can still be downloaded. Current browsers have it; a setting may have switched it off.' })
    try {
      painter.current = new Painter(canvas.current!, lack)
    } catch (error) {
      lack(problemOf(error).message)
    }
    const watch = new ResizeObserver(([entry]) => {
      const { width, height } = entry!.contentRect
      setScreen({ width: Math.round(width * ratio), height: Math.round(height * ratio) })
    })
    watch.observe(box.current!)
    return () => {
      watch.disconnect()
      painter.current?.close()
    }
  }, [])

  const regions = regionsOf(mode, screen)
  const view = props.view ?? fitted(extent, regions[0]!)

  useEffect(() => {
    if (!painter.current || !screen.width) return
    const pictures = planes && contrast ? picturesOf(planes, { mode, view, extent, regions, divider, contrast }) : []
    painter.current.draw(screen, pictures, planesOf(planes))
  }, [planes, contrast, mode, divider, view.x, view.y, view.scale, screen.width, screen.height])

  const act = useGestures(box, { ...props, view, regions, screen, ratio })
  const said = pointer && planes ? readout(pointer, { planes, view, extent, regions, mode, divider, screen }) : null
  const length = props.micrometres ? barLength(props.micrometres / (view.scale / ratio), 140) : null

  return (
    <div class="canvas-box">
      <div
        ref={box}
        class="canvas"
        role="application"
        aria-roledescription="picture"
        aria-label={labelOf(mode, planes)}
        aria-describedby="canvas-help"
        tabIndex={0}
        onKeyDown={act.key}
        onPointerDown={act.down}
        onPointerMove={(event) => {
          act.move(event)
          const { left, top } = box.current!.getBoundingClientRect()
          setPointer({ x: (event.clientX - left) * ratio, y: (event.clientY - top) * ratio })
        }}
        onPointerUp={act.up}
        onPointerCancel={act.up}
        onPointerLeave={() => setPointer(null)}
        onDblClick={() => props.onView(null)}
      >
        <canvas ref={canvas} aria-hidden="true" />
        {planes?.after && mode === 'slider' && (
          <div class="divider" aria-hidden="true" style={{ left: `${divider * 100}%` }}>
            <i />
          </div>
        )}
        {planes && <Labels mode={mode} planes={planes} tall={regions.length === 2 && regions[1]!.y > 0} unlike={contrast?.unlike ?? false} />}
        {line && <LineHandles line={line} view={view} extent={extent} regions={regions} ratio={ratio} onLine={props.onLine} />}
        {length && (
          <div class="bar" style={{ width: `${(length / props.micrometres!) * (view.scale / ratio)}px` }}>
            {length >= 1 ? `${length} µm` : `${Math.round(length * 1000)} nm`}
          </div>
        )}
        <p class="hidden" id="canvas-help">
          {HELP}
        </p>
      </div>
      {problem && <Trouble problem={problem} />}
      <div class="under">
        <output class="readout" aria-live="off">
          {said ?? (planes ? '' : 'Reading…')}
        </output>
        <div class="zoom" role="group" aria-label="Zoom">
          <button type="button" aria-label="Zoom out" onClick={() => act.zoom(1 / 1.5)}>
            −
          </button>
          <output aria-label="Zoom">{numberText(Math.round(view.scale * 100))} %</output>
          <button type="button" aria-label="Zoom in" onClick={() => act.zoom(1.5)}>
            +
          </button>
          <button type="button" onClick={() => props.onView(null)}>
            Fit
          </button>
          <button type="button" aria-label="1:1, pixel for pixel" onClick={() => props.onView({ ...view, scale: 1 })}>
            1:1
          </button>
        </div>
      </div>
    </div>
  )
}

function planesOf(shown: Shown | null): ShownPlane[] {
  return [shown?.before, shown?.after, shown?.difference?.plane].filter((plane) => plane != null)
}

function labelOf(mode: Mode, planes: Shown | null): string {
  if (!planes) return 'Picture, being read'
  if (!planes.after) return 'The image'
  return {
    slider: 'Image on the left of the divider, result on the right',
    side: 'Image and result side by side',
    difference: 'Result minus image',
  }[mode]
}

function Labels({ mode, planes, tall, unlike }: { mode: Mode; planes: Shown; tall: boolean; unlike: boolean }) {
  if (!planes.after) return null
  if (mode === 'difference' && planes.difference)
    return <Legend low={`−${numberText(planes.difference.most)}`} high={`+${numberText(planes.difference.most)}`} title={unlike ? 'After − before, other units' : 'After − before'} />
  return (
    <>
      <span class="label before">Before</span>
      <span class={tall ? 'label after low' : 'label after'}>After</span>
    </>
  )
}

function Legend({ low, high, title }: { low: string; high: string; title: string }) {
  return (
    <div class="legend">
      <span>{title}</span>
      <i class="difference" />
      <span>{low}</span>
      <span>{high}</span>
    </div>
  )
}

interface Gesture extends CanvasProps {
  view: View
  regions: Rect[]
  screen: Extent
  ratio: number
}

/** What pointers, wheel and keys do. */
function useGestures(box: { current: HTMLDivElement | null }, now: Gesture) {
  const state = useRef(now)
  state.current = now
  const pointers = useRef(new Map<number, { x: number; y: number }>())
  const held = useRef<'picture' | 'divider'>('picture')

  const at = (event: { clientX: number; clientY: number }) => {
    const { left, top } = box.current!.getBoundingClientRect()
    const { ratio } = state.current
    return { x: (event.clientX - left) * ratio, y: (event.clientY - top) * ratio }
  }
  const regionAt = ({ x, y }: { x: number; y: number }) =>
    state.current.regions.find((one) => x >= one.x && x < one.x + one.width && y >= one.y && y < one.y + one.height) ?? state.current.regions[0]!
  const change = (view: View) => {
    // The next event may come before the page has drawn itself again.
    state.current = { ...state.current, view }
    state.current.onView(view)
  }
  const zoom = (by: number, about?: { x: number; y: number }) => {
    const { view, regions } = state.current
    const region = about ? regionAt(about) : regions[0]!
    change(zoomed(view, by, about ?? { x: region.x + region.width / 2, y: region.y + region.height / 2 }, region))
  }

  useEffect(() => {
    const wheel = (event: WheelEvent) => {
      event.preventDefault()
      zoom(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0016)), at(event))
    }
    const element = box.current!
    element.addEventListener('wheel', wheel, { passive: false })
    return () => element.removeEventListener('wheel', wheel)
  }, [])

  function down(event: PointerEvent) {
    if ((event.target as HTMLElement).closest('button')) return
    const place = at(event)
    const { mode, planes, divider, screen, ratio } = state.current
    const near = Math.abs(place.x - divider * screen.width) < 16 * ratio
    held.current = mode === 'slider' && planes?.after && near && pointers.current.size === 0 ? 'divider' : 'picture'
    pointers.current.set(event.pointerId, place)
    box.current!.setPointerCapture(event.pointerId)
  }

  function move(event: PointerEvent) {
    const last = pointers.current.get(event.pointerId)
    if (!last) return
    const place = at(event)
    const { screen, view, extent } = state.current
    const other = [...pointers.current].find(([id]) => id !== event.pointerId)?.[1]
    pointers.current.set(event.pointerId, place)
    if (held.current === 'divider') {
      state.current.onDivider(Math.min(1, Math.max(0, place.x / screen.width)))
    } else if (other) {
      const apart = (a: typeof place) => Math.hypot(a.x - other.x, a.y - other.y)
      zoom(apart(place) / Math.max(1, apart(last)), { x: (place.x + other.x) / 2, y: (place.y + other.y) / 2 })
    } else {
      change(moved(view, place.x - last.x, place.y - last.y, extent))
    }
  }

  const up = (event: PointerEvent) => void pointers.current.delete(event.pointerId)

  function key(event: KeyboardEvent) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== box.current) return
    const { view, extent, divider, ratio } = state.current
    const step = (event.shiftKey ? 200 : 40) * ratio
    const pan = (dx: number, dy: number) => change(moved(view, dx, dy, extent))
    const actions: Record<string, () => void> = {
      '+': () => zoom(1.5),
      '=': () => zoom(1.5),
      '-': () => zoom(1 / 1.5),
      '0': () => state.current.onView(null),
      '1': () => change({ ...view, scale: 1 }),
      ArrowLeft: () => pan(step, 0),
      ArrowRight: () => pan(-step, 0),
      ArrowUp: () => pan(0, step),
      ArrowDown: () => pan(0, -step),
      ',': () => state.current.onStep(-1),
      '.': () => state.current.onStep(1),
      '[': () => state.current.onDivider(Math.max(0, divider - 0.05)),
      ']': () => state.current.onDivider(Math.min(1, divider + 0.05)),
    }
    const action = actions[event.key]
    if (!action) return
    event.preventDefault()
    action()
  }

  return { down, move, up, key, zoom }
}
