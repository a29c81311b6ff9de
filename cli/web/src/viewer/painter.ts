/** The page's side of the worker that draws. */

import type { ShownPlane } from '../images/stack'
import type { Picture, Scene, TexturePlane } from './renderer'
import type { Extent } from './viewport'

/** Message to the worker. */
export type DrawOrder =
  | { kind: 'canvas'; canvas: OffscreenCanvas }
  | { kind: 'plane'; id: number; plane: TexturePlane }
  | { kind: 'scene'; scene: Scene }

/** Message from the worker: why it cannot draw. */
export interface DrawTold {
  problem: string
}

export class Painter {
  private readonly worker = new Worker(new URL('./draw_worker.ts', import.meta.url), { type: 'module' })
  private readonly ids = new WeakMap<ShownPlane, number>()
  private count = 0

  constructor(canvas: HTMLCanvasElement, onProblem: (message: string) => void) {
    this.worker.onmessage = ({ data }: MessageEvent<DrawTold>) => onProblem(data.problem)
    const offscreen = canvas.transferControlToOffscreen()
    this.send({ kind: 'canvas', canvas: offscreen }, [offscreen])
  }

  /** Draws pictures on a screen of this size; textures of planes that are not `kept` are freed. */
  draw(screen: Extent, pictures: Picture[], kept: ShownPlane[]) {
    const drawn = pictures.map(({ plane, ...rest }) => ({ ...rest, plane: this.idOf(plane) }))
    const ids = kept.flatMap((plane) => this.ids.get(plane) ?? [])
    this.send({ kind: 'scene', scene: { screen, pictures: drawn, kept: ids } })
  }

  close() {
    this.worker.terminate()
  }

  /** Number of a plane; its texture is handed over when it is drawn first. */
  private idOf(plane: ShownPlane): number {
    const known = this.ids.get(plane)
    if (known) return known
    const id = ++this.count
    this.ids.set(plane, id)
    const { texture, width, height } = plane
    this.send({ kind: 'plane', id, plane: { texture, width, height } }, [texture.buffer])
    return id
  }

  private send(order: DrawOrder, transfer: Transferable[] = []) {
    this.worker.postMessage(order, transfer)
  }
}
