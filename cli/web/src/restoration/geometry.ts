/**
 * Tiles of an image: as `unifmir.restoration.geometry` and `tile_size` cut them.
 *
 * Everything is along z, y, x. Boxes are [first, end) along each axis. Tiles start on the grid of the
 * network's attention windows, so that these lie where the whole image has them.
 */

export type Interval = readonly [number, number]
export type Box = readonly [Interval, Interval, Interval]
export type Size = readonly [number, number, number]

/** How an image may be cut, as `unifmir zoo site` says it of a network. */
export interface Geometry {
  grid: Size
  halo: Size
  scale: number
  whole_depth: boolean
  /** Planes of the result; null: those of the image. */
  planes: number | null
  /** Pixels of the result over which tiles are blended; 0: they are cropped. */
  ramp: number
  cut: readonly [boolean, boolean, boolean]
  least_tile: number
  /** What one image of a run holds of what is read. */
  run: 'plane' | 'section' | 'volume'
  run_pixels: number
  bytes_per_pixel: number
}

export interface Limits {
  /** Side of what is read at once, in pixels; null: what the memory allows. */
  tile: number | null
  /** Memory for a run, in bytes. */
  bytes: number
}

/** Whether planes are restored one by one. */
export const byPlane = (of: Geometry) => !of.whole_depth && of.planes === null && of.grid[0] === 1

export const sizeOut = (of: Geometry, size: Size): Size => [of.planes ?? size[0], size[1] * of.scale, size[2] * of.scale]

export const lengthOf = ([first, end]: Interval) => end - first

export const sizeOf = (box: Box): Size => [lengthOf(box[0]), lengthOf(box[1]), lengthOf(box[2])]

export const voxels = ([z, y, x]: Size) => z * y * x

/** The part of an image that a part of its result depends on. */
export function readBox(of: Geometry, write: Box, size: Size): Box {
  const along = (axis: 0 | 1 | 2): Interval => {
    if (axis === 0 && of.whole_depth) return [0, size[0]]
    const scale = axis === 0 ? 1 : of.scale
    const grid = of.grid[axis]
    const first = Math.floor(Math.floor(write[axis][0] / scale) / grid) * grid - of.halo[axis]
    const end = Math.ceil(write[axis][1] / (scale * grid)) * grid + of.halo[axis]
    return [Math.max(0, first), Math.min(size[axis], end)]
  }
  return [along(0), along(1), along(2)]
}

/** Pixels that one image of a run holds for a part that is read. */
function runPixels(of: Geometry, [z, y, x]: Size): number {
  return of.run === 'plane' ? y * x : of.run === 'section' ? z * Math.max(y, x) : z * y * x
}

/** All lengths of even parts on a grid, the longest first. */
export function pitches(length: number, step: number): number[] {
  const found = new Set<number>()
  for (let parts = 1; parts <= Math.ceil(length / step); parts++)
    found.add(Math.min(length, Math.ceil(length / (parts * step)) * step))
  return [...found].sort((a, b) => b - a)
}

function largestRead(length: number, pitch: number, halo: number): number {
  return Math.min(length, pitch + Math.min(2, Math.ceil(length / pitch) - 1) * halo)
}

/** Distance of tiles, in pixels of the image: as few pixels as possible are read twice. */
export function pitchOf(of: Geometry, size: Size, limits: Limits): Size | null {
  const planewise = byPlane(of)
  const length: Size = planewise ? [1, size[1], size[2]] : size
  const half = of.ramp / (2 * of.scale)
  const halo: Size = [of.halo[0], of.halo[1] + half, of.halo[2] + half]
  const cubes = of.grid[0] > 1
  const fits = (read: Size, around: Size) => {
    if (limits.tile !== null)
      return ([0, 1, 2] as const).every(
        (axis) => (axis === 0 && !cubes) || read[axis] <= Math.max(limits.tile!, of.least_tile * around[axis]),
      )
    return runPixels(of, read) * of.bytes_per_pixel <= limits.bytes
  }
  const whole = (pitch: Size): Size => (planewise ? [size[0], pitch[1], pitch[2]] : pitch)
  if (fits(length, [0, 0, 0])) return whole(length)
  if (!of.cut.some(Boolean)) return null
  const lengths = ([0, 1, 2] as const).map((axis) => (of.cut[axis] ? pitches(length[axis], of.grid[axis]) : [length[axis]]))
  let last: Size = length
  for (const depth of lengths[0]!) {
    let best: { twice: number; parts: number; pitch: Size } | null = null
    for (const row of lengths[1]!) {
      for (const column of lengths[2]!) {
        last = [depth, row, column]
        const read: Size = [
          largestRead(length[0], depth, halo[0]),
          largestRead(length[1], row, halo[1]),
          largestRead(length[2], column, halo[2]),
        ]
        if (!fits(read, halo)) continue
        const [down, across] = [Math.ceil(length[1] / row), Math.ceil(length[2] / column)]
        const twice = (length[1] + 2 * halo[1] * (down - 1)) * (length[2] + 2 * halo[2] * (across - 1))
        if (!best || twice < best.twice || (twice === best.twice && down * across < best.parts))
          best = { twice, parts: down * across, pitch: last }
        break
      }
    }
    if (best) return whole(best.pitch)
  }
  return whole(last)
}

/** Parts of the result that are restored one after the other. */
export function tilesOf(of: Geometry, size: Size, pitch: Size): Box[] {
  const out = sizeOut(of, size)
  const steps: Size = [
    of.whole_depth || of.planes !== null ? out[0] : pitch[0],
    pitch[1] * of.scale,
    pitch[2] * of.scale,
  ]
  const found: Box[] = []
  for (let z = 0; z < out[0]; z += steps[0])
    for (let y = 0; y < out[1]; y += steps[1])
      for (let x = 0; x < out[2]; x += steps[2])
        found.push([
          [z, Math.min(out[0], z + steps[0])],
          [y, Math.min(out[1], y + steps[1])],
          [x, Math.min(out[2], x + steps[2])],
        ])
  return found
}

/** Images that are run at once for tiles that read so much. */
export function batchFor(of: Geometry, read: Size, limits: Limits): number {
  const pixels = runPixels(of, byPlane(of) ? [1, read[1], read[2]] : read)
  const fitting = Math.floor(limits.bytes / (of.bytes_per_pixel * pixels))
  return Math.max(1, Math.min(Math.floor(of.run_pixels / Math.max(1, pixels)), fitting))
}

/** A tile with its share in what it is blended with. */
export interface Blended {
  /** Part of the result that is restored. */
  support: Box
  rows: Float32Array
  columns: Float32Array
}

/** A tile that passes into its neighbours: for networks with statistics of all they read. */
export function blended(of: Geometry, tile: Box, size: Size): Blended {
  const out = sizeOut(of, size)
  const half = of.ramp / 2
  const grown = (axis: 1 | 2): Interval => [
    Math.max(0, tile[axis][0] - half),
    Math.min(out[axis], tile[axis][1] + half),
  ]
  const support: Box = [tile[0], grown(1), grown(2)]
  const weights = (axis: 1 | 2) => trapezoid(tile[axis], support[axis], out[axis], half)
  return { support, rows: weights(1), columns: weights(2) }
}

function trapezoid([start, end]: Interval, support: Interval, length: number, half: number): Float32Array {
  return Float32Array.from({ length: lengthOf(support) }, (_, index) => {
    const at = support[0] + index + 0.5
    let weight = 1
    if (start > 0) weight = Math.min(weight, (at - (start - half)) / (2 * half))
    if (end < length) weight = Math.min(weight, (end + half - at) / (2 * half))
    return Math.min(1, Math.max(0, weight))
  })
}
