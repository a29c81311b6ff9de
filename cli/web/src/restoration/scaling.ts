/** Intensities of a whole stack to the network's units and back: as `unifmir.normalize`. */

import { ImageError, type Pixels } from '../images/stack'

export interface Scaling {
  /** Intensity that becomes 0. */
  low: number
  /** Intensities between 0 and 1. */
  span: number
  /** Limit to [0, 1]. */
  clip: boolean
}

/** How a network's images are scaled, as `unifmir zoo site` says it. */
export interface Normalization {
  low_percent: number
  high_percent: number
  clip: boolean
  scaled_inside: boolean
  invertible: boolean
}

const EPSILON = 1e-20

/** Whether numbers of this kind are more than float32 holds: NumPy computes them in float64. */
const isWide = (pixels: Pixels) => pixels.BYTES_PER_ELEMENT > 4 || pixels instanceof Int32Array || pixels instanceof Uint32Array

/** The scaling of a stack by percentiles of all its pixels. */
export function scalingOf(pixels: Pixels, by: Normalization): Scaling {
  const [least, greatest] = extremes(pixels)
  if (by.scaled_inside) return { low: 0, span: greatest > 0 ? greatest : 1, clip: false }
  const [low, high] = percentiles(pixels, [by.low_percent, by.high_percent]) as [number, number]
  if (high <= low && greatest > least)
    throw new ImageError(
      `Percentiles ${by.low_percent} and ${by.high_percent} of the image are both ${low}, although its values run from ${least} to ${greatest}: too little of it is signal to scale by.`,
      'Crop to the part with signal.',
    )
  const span = high - low + EPSILON
  if (![least, greatest].every((end) => Number.isFinite(Math.fround((end - low) / span))))
    throw new ImageError(`Values from ${least} to ${greatest} span too far.`, 'Divide the image by a constant first.')
  return { low, span, clip: by.clip }
}

/** (value - low) / span, with the rounding that NumPy has for such pixels. */
export function normalised(pixels: Pixels, { low, span, clip }: Scaling): Float32Array {
  const found = new Float32Array(pixels.length)
  if (isWide(pixels)) for (let at = 0; at < found.length; at++) found[at] = (pixels[at]! - low) / span
  else {
    const [low32, span32] = [Math.fround(low), Math.fround(span)]
    for (let at = 0; at < found.length; at++) found[at] = Math.fround(pixels[at]! - low32) / span32
  }
  if (clip) limit(found)
  return found
}

/** Brings values back to the image's intensities, in place. */
export function invert(values: Float32Array, { low, span }: Scaling): void {
  if (low === 0 && span === 1) return
  for (let at = 0; at < values.length; at++) values[at] = values[at]! * span + low
}

/** Limits values to [0, 1], in place. */
export function limit(values: Float32Array): void {
  for (let at = 0; at < values.length; at++) values[at] = Math.min(1, Math.max(0, values[at]!))
}

function extremes(pixels: Pixels): [number, number] {
  let [least, greatest, odd] = [Infinity, -Infinity, 0]
  for (let at = 0; at < pixels.length; at++) {
    const value = pixels[at]!
    if (value < least) least = value
    if (value > greatest) greatest = value
    if (!Number.isFinite(value)) odd++
  }
  if (odd > 0)
    throw new ImageError(
      `${odd} of ${pixels.length} pixels are NaN or infinite.`,
      'Replace them, for example by the image’s median, and try again.',
    )
  return [least, greatest]
}

/** Percentiles (0 to 100) of all pixels, with a line between two ranks, as `numpy.percentile` computes it. */
export function percentiles(pixels: Pixels, percents: readonly number[]): number[] {
  const last = pixels.length - 1
  const places = percents.map((percent) => last * (percent / 100))
  const ranks = places.flatMap((place) => [Math.floor(place), Math.min(Math.floor(place) + 1, last)])
  const values = atRanks(pixels, [...new Set(ranks)])
  const round = isWide(pixels) ? (value: number) => value : Math.fround
  return places.map((place) => {
    const below = Math.floor(place)
    const [low, high] = [round(values.get(below)!), round(values.get(Math.min(below + 1, last))!)]
    const [part, difference] = [place - below, round(high - low)]
    return part >= 0.5 ? high - difference * (1 - part) : low + difference * part
  })
}

/** Values at ranks, 0 the least: counted where numbers have 16 bits, digit by digit where 32. */
function atRanks(pixels: Pixels, ranks: number[]): Map<number, number> {
  if (pixels instanceof Float64Array) {
    const sorted = Float64Array.from(pixels).sort()
    return new Map(ranks.map((rank) => [rank, sorted[rank]!]))
  }
  if (pixels.BYTES_PER_ELEMENT <= 2) {
    const shift = pixels instanceof Int8Array || pixels instanceof Int16Array ? 2 ** 15 : 0
    const counts = new Float64Array(2 ** 16)
    for (let at = 0; at < pixels.length; at++) counts[pixels[at]! + shift]!++
    return new Map(ranks.map((rank) => [rank, digitAt(counts, rank).digit - shift]))
  }
  const bits = new Uint32Array(pixels.buffer, pixels.byteOffset, pixels.length)
  const key =
    pixels instanceof Float32Array
      ? (value: number) => (value & 0x80000000 ? ~value : value | 0x80000000) >>> 0
      : pixels instanceof Int32Array
        ? (value: number) => (value ^ 0x80000000) >>> 0
        : (value: number) => value
  const first = new Float64Array(2 ** 16)
  for (let at = 0; at < bits.length; at++) first[key(bits[at]!) >>> 16]!++
  const starts = new Map(ranks.map((rank) => [rank, digitAt(first, rank)]))
  const rests = new Map([...starts.values()].map(({ digit }) => [digit, new Float64Array(2 ** 16)]))
  for (let at = 0; at < bits.length; at++) {
    const whole = key(bits[at]!)
    const counts = rests.get(whole >>> 16)
    if (counts) counts[whole & 0xffff]!++
  }
  return new Map(
    ranks.map((rank) => {
      const { digit, rest } = starts.get(rank)!
      const found = ((digit << 16) | digitAt(rests.get(digit)!, rest).digit) >>> 0
      return [rank, valueOf(found, pixels)]
    }),
  )
}

/** The digit of the value at a rank, and its rank among those with that digit. */
function digitAt(counts: Float64Array, rank: number): { digit: number; rest: number } {
  let rest = rank
  let digit = 0
  while (rest >= counts[digit]!) rest -= counts[digit++]!
  return { digit, rest }
}

function valueOf(key: number, pixels: Pixels): number {
  const bits = new Uint32Array(1)
  if (pixels instanceof Float32Array) {
    bits[0] = key & 0x80000000 ? key ^ 0x80000000 : ~key
    return new Float32Array(bits.buffer)[0]!
  }
  if (!(pixels instanceof Int32Array)) return key
  bits[0] = key ^ 0x80000000
  return new Int32Array(bits.buffer)[0]!
}
