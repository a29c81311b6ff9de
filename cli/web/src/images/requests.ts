/** What the page asks of the worker that has the images, and what comes back. */

import type { PlanePlace } from './sections'
import type { OpenStack, Part, ShownPlane } from './stack'
import type { Spread, Window } from './window'

/** A plane of an image that is open. */
export interface PlaneOf extends PlanePlace {
  stack: number
}

/** Planes of image and result at one place; the difference where it is asked for. */
export interface PlanePair {
  before: ShownPlane
  after: ShownPlane | null
  difference: { plane: ShownPlane; most: number } | null
}

export interface Requests {
  open: { given: { blob: Blob; name: string }; made: OpenStack }
  close: { given: { stack: number }; made: null }
  planes: { given: { before: PlaneOf; after: PlaneOf | null; difference: boolean }; made: PlanePair }
  spread: { given: { planes: PlaneOf[] }; made: Spread }
  histogram: { given: { plane: PlaneOf; range: Window; steps: number }; made: Uint32Array }
  /** A plane as a small picture, RGBA. */
  picture: { given: { plane: PlaneOf }; made: { greys: Uint8ClampedArray<ArrayBuffer>; width: number; height: number } }
  cut: { given: { stack: number; part: Part }; made: File }
}

export type Kind = keyof Requests

/** Message to the worker: a request, or that its answer is no longer wanted. */
export type Asked = { [K in Kind]: { id: number; kind: K; given: Requests[K]['given'] } }[Kind] | { id: number; kind: 'cancel' }

/** Message from the worker. */
export type Told = { id: number; made: Requests[Kind]['made'] } | { id: number; problem: { message: string; hint: string } }
