/** Axes of a volume sampled anew: as `unifmir.restoration.resampling`. */

import type { Size } from './geometry'

/** A stack of float32, plane after plane, row after row. */
export interface Volume {
  data: Float32Array
  size: Size
}

export type Kernel = 'linear' | 'area' | 'between'

/** Pixel j of the new axis lies at j * step + offset of the old one. */
export interface Axis {
  before: number
  after: number
  step: number
  offset: number
  kernel: Kernel
}

const REACH: Record<Kernel, number> = { linear: 1, area: 0.5, between: 1 }

function weightAt(kernel: Kernel, distance: number): number {
  const d = Math.abs(distance)
  return kernel === 'area' ? (d <= 0.5 ? 1 : 0) : Math.max(1 - d, 0)
}

/** Old pixels that each new one is made of, and weights that sum to 1. */
export function taps(axis: Axis): { count: number; index: Int32Array; weight: Float32Array } {
  const wide = axis.kernel === 'between' ? 1 : Math.max(1, axis.step)
  const reach = REACH[axis.kernel] * wide
  const count = Math.ceil(2 * reach)
  const index = new Int32Array(axis.after * count)
  const weight = new Float32Array(axis.after * count)
  for (let pixel = 0; pixel < axis.after; pixel++) {
    const position = pixel * axis.step + axis.offset
    const first = Math.floor(position - reach) + 1
    const weights = Array.from({ length: count }, (_, tap) => weightAt(axis.kernel, (first + tap - position) / wide))
    const total = weights.reduce((sum, one) => sum + one, 0)
    for (let tap = 0; tap < count; tap++) {
      index[pixel * count + tap] = Math.min(axis.before - 1, Math.max(0, first + tap))
      weight[pixel * count + tap] = weights[tap]! / total
    }
  }
  return { count, index, weight }
}

/** A volume with one axis (0: z, 1: y, 2: x) sampled anew. */
export function resampled(volume: Volume, along: 0 | 1 | 2, axis: Axis): Volume {
  const { count, index, weight } = taps(axis)
  const size = volume.size.map((length, at) => (at === along ? axis.after : length)) as unknown as Size
  const inner = volume.size.slice(along + 1).reduce((product, length) => product * length, 1)
  const outer = volume.size.slice(0, along).reduce((product, length) => product * length, 1)
  const data = new Float32Array(outer * axis.after * inner)
  for (let block = 0; block < outer; block++)
    for (let pixel = 0; pixel < axis.after; pixel++) {
      const to = (block * axis.after + pixel) * inner
      for (let tap = 0; tap < count; tap++) {
        const share = weight[pixel * count + tap]!
        if (share === 0) continue
        const from = (block * axis.before + index[pixel * count + tap]!) * inner
        for (let at = 0; at < inner; at++) data[to + at] = data[to + at]! + volume.data[from + at]! * share
      }
    }
  return { data, size }
}

const SAME = 1e-3
const ROUNDING = 1e-6

/** Planes interpolated to `factor` per plane; null where they lie so already. */
export function isotropicPlanes(planes: number, factor: number): Axis | null {
  if (Math.abs(factor - 1) < SAME) return null
  const after = Math.floor((planes - 1) * factor + ROUNDING) + 1
  return { before: planes, after, step: 1 / factor, offset: 0, kernel: 'linear' }
}

/** As many planes as a network projects, the first and last where they are; null where there are so many. */
export function planesRead(planes: number, wanted: number): Axis | null {
  if (planes === wanted) return null
  const step = (planes - 1) / Math.max(1, wanted - 1)
  return { before: planes, after: wanted, step, offset: 0, kernel: 'linear' }
}
