/**
 * Results brought from the network's units to the image's intensities: as
 * `unifmir.restoration.intensities`. What was restored is held against what was recorded, at the
 * sampling at which that was; a line between them, and the low frequencies that it leaves, come back.
 */

import type { Pixels } from '../images/stack'
import { byPlane, voxels, type Box, type Geometry, type Size } from './geometry'
import { resampled, type Axis, type Volume } from './resampling'
import { normalised, type Scaling } from './scaling'

/** Images of up to so many voxels are compared whole; of larger ones, pieces. */
export const WHOLE_VOXELS = 2 ** 20
const SHARE = 8
const MOST_VOXELS = 2 ** 20
const PIECE: Size = [64, 128, 128]
const LEAST_VARIANCE = 1e-12
/** Standard deviations after which a Gaussian is cut. */
const CUT = 3

/** One time point: as it was recorded, and what was made of it, in the network's units. */
export interface Compared {
  raw: Pixels
  /** Of `raw`. */
  size: Size
  restored: Volume
  scaling: Scaling
}

export interface Comparison extends Geometry {
  low_frequency_px: number
  counterpart: 'stack' | 'maximum'
}

/** Raw = slope * restored + shift, both in the network's units. */
export interface Line {
  slope: number
  shift: number
}

/** Sums over pixels: their number, x, y, x squared, x times y; x restored, y raw. */
type Sums = [number, number, number, number, number]

/** Brings the time points of one channel back, in place. `shape` is the whole image's (t, c, z, y, x). */
export function bringBack(held: Compared[], network: Comparison, depth: Axis | null, local: boolean, shape: number[]): void {
  const whole = shape.reduce((product, length) => product * length, 1) <= WHOLE_VOXELS
  const shared = whole ? null : lineOf(piecesOf(held, network, depth, shape))
  for (const one of held) {
    const recorded = recordedOf(one, network)
    const { data } = one.restored
    const below = toRecorded(one.restored, recorded.size, depth)
    const line = shared ?? lineOf([sums(below.data, recorded.data)])
    const [slope, shift] = [Math.fround(line.slope), Math.fround(line.shift)]
    const low = local ? lowFrequencies(recorded, below, slope, shift, network, one.restored.size, depth) : null
    const { span, low: zero } = one.scaling
    for (let at = 0; at < data.length; at++) {
      let value = Math.fround(Math.fround(slope * data[at]!) + shift)
      if (low) value = Math.fround(value + low[at]!)
      data[at] = value * span + zero
    }
  }
}

/** What a result is held against, as the network sees intensities. */
function recordedOf({ raw, size, scaling }: Compared, network: Comparison): Volume {
  const data = normalised(raw, scaling)
  if (network.counterpart !== 'maximum') return { data, size }
  const plane = size[1] * size[2]
  const highest = data.slice(0, plane)
  for (let at = plane; at < data.length; at++) highest[at % plane] = Math.max(highest[at % plane]!, data[at]!)
  return { data: highest, size: [1, size[1], size[2]] }
}

/** A result at the sampling of what was recorded. */
function toRecorded(restored: Volume, recorded: Size, depth: Axis | null): Volume {
  let found = restored
  if (depth && recorded[0] !== restored.size[0])
    found = resampled(found, 0, { before: depth.after, after: depth.before, step: 1 / depth.step, offset: 0, kernel: 'between' })
  for (const axis of [1, 2] as const) found = inPixels(found, axis, recorded[axis], 'area')
  return found
}

function inPixels(volume: Volume, axis: 1 | 2, after: number, kernel: 'area' | 'linear'): Volume {
  const before = volume.size[axis]
  const step = before / after
  return before === after ? volume : resampled(volume, axis, { before, after, step, offset: step / 2 - 0.5, kernel })
}

function lowFrequencies(
  recorded: Volume,
  below: Volume,
  slope: number,
  shift: number,
  network: Comparison,
  result: Size,
  depth: Axis | null,
): Float32Array {
  const left = recorded.data.map((value, at) => value - Math.fround(Math.fround(slope * below.data[at]!) + shift))
  let found: Volume = { data: left, size: recorded.size }
  for (const axis of [1, 2] as const) found = smoothed(found, axis, network.low_frequency_px)
  if (depth && recorded.size[0] !== result[0]) found = resampled(found, 0, depth)
  for (const axis of [1, 2] as const) found = inPixels(found, axis, result[axis], 'linear')
  return found.data
}

/** An axis through a Gaussian, mirrored at the edges. */
export function smoothed(volume: Volume, axis: 1 | 2, sigma: number): Volume {
  const radius = Math.ceil(CUT * sigma)
  const weights = Float64Array.from({ length: 2 * radius + 1 }, (_, at) => Math.exp(-0.5 * ((at - radius) / sigma) ** 2))
  const total = weights.reduce((sum, one) => sum + one, 0)
  const shares = Float32Array.from(weights, (one) => one / total)
  const [, rows, columns] = volume.size
  const length = volume.size[axis]
  const [step, lines] = axis === 1 ? [columns, columns] : [1, rows]
  const data = new Float32Array(volume.data.length)
  const line = new Float32Array(length + 2 * radius)
  for (let z = 0; z < volume.size[0]; z++)
    for (let number = 0; number < lines; number++) {
      const start = z * rows * columns + (axis === 1 ? number : number * columns)
      for (let at = -radius; at < length + radius; at++) line[at + radius] = volume.data[start + mirrored(at, length) * step]!
      for (let at = 0; at < length; at++) {
        let sum = 0
        for (let tap = 0; tap < shares.length; tap++) sum += line[at + tap]! * shares[tap]!
        data[start + at * step] = sum
      }
    }
  return { data, size: volume.size }
}

/** Place of a pixel beyond an edge, which is mirrored with its last pixel. */
function mirrored(at: number, length: number): number {
  const period = 2 * length
  const place = ((at % period) + period) % period
  return place < length ? place : period - 1 - place
}

function sums(x: Float32Array, y: Float32Array): Sums {
  const found: Sums = [x.length, 0, 0, 0, 0]
  for (let at = 0; at < x.length; at++) {
    found[1] += x[at]!
    found[2] += y[at]!
    found[3] += x[at]! * x[at]!
    found[4] += x[at]! * y[at]!
  }
  return found
}

/** The line through all pixels; where none fits, the total is kept. */
export function lineOf(parts: Sums[]): Line {
  const [count, x, y, xx, xy] = parts.reduce((sum, part) => sum.map((one, at) => one + part[at]!) as Sums, [0, 0, 0, 0, 0])
  const [xMean, yMean] = [x / count, y / count]
  const variance = xx / count - xMean * xMean
  const covariance = xy / count - xMean * yMean
  const slope = variance > LEAST_VARIANCE && covariance > 0 ? covariance / variance : 1
  return { slope, shift: yMean - slope * xMean }
}

/** Sums over pieces that are spread evenly over all time points, the same ones as in Python. */
function piecesOf(held: Compared[], network: Comparison, depth: Axis | null, shape: number[]): Sums[] {
  const first = recordedOf(held[0]!, network).size
  const deep = byPlane(network) ? 1 : network.whole_depth ? first[0] : PIECE[0]
  const all = Math.min(MOST_VOXELS, Math.floor(shape.reduce((product, length) => product * length, 1) / SHARE)) / shape[1]!
  const read = network.whole_depth ? shape[2]! : Math.min(deep, first[0])
  const count = Math.max(1, Math.floor(all / (read * PIECE[1] * PIECE[2])))
  const boxes = pieces(held.length, first, deep, count)
  const known = new Map<number, [Volume, Volume]>()
  return boxes.map(({ t, box }) => {
    if (!known.has(t)) {
      known.clear()
      const recorded = recordedOf(held[t]!, network)
      known.set(t, [toRecorded(held[t]!.restored, recorded.size, depth), recorded])
    }
    const [below, recorded] = known.get(t)!
    return sums(boxed(below, box), boxed(recorded, box))
  })
}

function boxed({ data, size }: Volume, [z, y, x]: Box): Float32Array {
  const found = new Float32Array(voxels([z[1] - z[0], y[1] - y[0], x[1] - x[0]]))
  let to = 0
  for (let plane = z[0]; plane < z[1]; plane++)
    for (let row = y[0]; row < y[1]; row++) {
      const from = (plane * size[1] + row) * size[2]
      found.set(data.subarray(from + x[0], from + x[1]), to)
      to += x[1] - x[0]
    }
  return found
}

/** Time points and boxes, spread by radical inverses (Halton 1960), ordered by time. */
export function pieces(times: number, size: Size, depth: number, count: number): { t: number; box: Box }[] {
  const lengths = [Math.min(depth, size[0]), Math.min(PIECE[1], size[1]), Math.min(PIECE[2], size[2])]
  const found = new Map<string, { t: number; box: Box }>()
  for (let index = 0; index < count; index++) {
    const t = Math.floor(radicalInverse(index, 7) * times)
    const box = [5, 3, 2].map((base, axis) => {
      const start = halfEven(radicalInverse(index, base) * (size[axis]! - lengths[axis]!))
      return [start, start + lengths[axis]!] as const
    }) as unknown as Box
    found.set(JSON.stringify([t, box]), { t, box })
  }
  return [...found.values()].sort((a, b) => a.t - b.t)
}

function radicalInverse(number: number, base: number): number {
  let [inverse, part] = [0, 1 / base]
  for (let rest = number; rest; rest = Math.floor(rest / base)) {
    inverse += (rest % base) * part
    part /= base
  }
  return inverse
}

/** Rounded to the nearest whole number, halves to the even one, as Python and NumPy do. */
export function halfEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor
}
