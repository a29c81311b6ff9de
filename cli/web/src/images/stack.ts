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

/** An image of up to five axes, whose planes are read one by one. */
export interface Stack {
  name: string
  bytes: number
  sizes: Sizes
  dtype: string
  sampling: Sampling
  channels: (string | null)[]
  /** What the file is: "ImageJ hyperstack", "OME-TIFF", "TIFF". */
  kind: string
  plane(t: number, c: number, z: number): Promise<Plane>
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

/** Planes that were read last, up to so many bytes. */
export class PlaneCache {
  private kept = new Map<string, Promise<Plane>>()
  private sizes = new Map<string, number>()
  private total = 0

  constructor(private readonly limit = 384 * 2 ** 20) {}

  get(key: string, read: () => Promise<Plane>): Promise<Plane> {
    const known = this.kept.get(key)
    if (known) {
      this.kept.delete(key)
      this.kept.set(key, known)
      return known
    }
    const plane = read()
    this.kept.set(key, plane)
    plane.then(
      (done) => this.count(key, done.data.byteLength),
      () => this.kept.delete(key),
    )
    return plane
  }

  private count(key: string, bytes: number) {
    this.sizes.set(key, bytes)
    this.total += bytes
    for (const oldest of this.kept.keys()) {
      if (this.total <= this.limit || oldest === key) break
      this.total -= this.sizes.get(oldest) ?? 0
      this.sizes.delete(oldest)
      this.kept.delete(oldest)
    }
  }
}

/** A plane through a stack: xy at z, xz at y, or yz at x. Rows of xz and yz run along z. */
export async function section(
  stack: Stack,
  at: { t: number; c: number; index: number },
  which: Section,
): Promise<Plane> {
  const { t, c, index } = at
  if (which === 'xy') return stack.plane(t, c, index)
  const { x, y, z } = stack.sizes
  const planes: Plane[] = []
  for (let k = 0; k < z; k++) planes.push(await stack.plane(t, c, k))
  const width = which === 'xz' ? x : y
  const data = new (planes[0]!.data.constructor as new (length: number) => Pixels)(width * z)
  planes.forEach((plane, k) => {
    if (which === 'xz') data.set(plane.data.subarray(index * x, (index + 1) * x) as never, k * x)
    else for (let row = 0; row < y; row++) data[k * y + row] = plane.data[row * x + index]!
  })
  return { data, width, height: z }
}
