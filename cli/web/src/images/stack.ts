/** Images as the page sees them: planes of numbers, wherever they are read from. */

export type Pixels =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array

/** One plane, row after row, in the numbers of its file. */
export interface Plane {
  data: Pixels
  width: number
  height: number
}

/** A plane that is shown: also as a texture takes it, in the file's own numbers where they are such. */
export interface ShownPlane extends Plane {
  texture: Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Float32Array<ArrayBuffer>
}

export interface Sizes {
  t: number
  c: number
  z: number
  y: number
  x: number
}

/** Distances of pixels in micrometres, of frames in seconds; null where the file does not say. */
export interface Sampling {
  x: number | null
  y: number | null
  z: number | null
  t: number | null
}

export type Section = 'xy' | 'xz' | 'yz'

/** What is known of an image of up to five axes. */
export interface StackFacts {
  name: string
  bytes: number
  sizes: Sizes
  dtype: string
  /** Whether its channels are the colours of a picture, and not those of a microscope. */
  colour?: boolean
  sampling: Sampling
  channels: (string | null)[]
  /** What the file is: "ImageJ hyperstack", "OME-TIFF", "TIFF". */
  kind: string
}

/** An image whose planes are read one by one; in the worker. */
export interface Stack extends StackFacts {
  plane(t: number, c: number, z: number): Promise<Plane>
}

/** An image that the worker has open, by its number there. */
export interface OpenStack extends StackFacts {
  id: number
}

/** Frames and slices of an image: places from 0, the last ones included. */
export interface Part {
  t: [number, number]
  z: [number, number]
}

export function isWhole({ sizes: { t, z } }: StackFacts, part: Part): boolean {
  return part.t[0] === 0 && part.t[1] === t - 1 && part.z[0] === 0 && part.z[1] === z - 1
}

export class ImageError extends Error {
  constructor(
    message: string,
    readonly hint = '',
  ) {
    super(message)
  }
}

/** Axes longer than one, as "t 3, z 12, y 64, x 64". */
export function shapeText(sizes: Sizes): string {
  const axes = ['t', 'c', 'z', 'y', 'x'] as const
  return axes
    .filter((axis) => sizes[axis] > 1 || axis === 'y' || axis === 'x')
    .map((axis) => `${axis} ${sizes[axis]}`)
    .join(' · ')
}
