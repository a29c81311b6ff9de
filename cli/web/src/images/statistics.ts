/** Percentiles and histograms of planes. */

import type { Pixels } from './stack'
import { AUTO, type Spread, type Window } from './window'

/** Values that a contrast is taken from at most; above, evenly spaced pixels. */
export const MOST_VALUES = 2 ** 20

/** The finite values of planes in order; evenly spaced ones where there are very many. */
export function sortedValues(planes: Pixels[], most = MOST_VALUES): Float64Array {
  const total = planes.reduce((sum, plane) => sum + plane.length, 0)
  const step = Math.max(1, Math.ceil(total / most))
  const found = new Float64Array(planes.reduce((sum, plane) => sum + Math.ceil(plane.length / step), 0))
  let count = 0
  for (const plane of planes) {
    for (let at = 0; at < plane.length; at += step) {
      const value = plane[at]!
      if (Number.isFinite(value)) found[count++] = value
    }
  }
  return found.subarray(0, count).sort()
}

/** Percentile (0 to 100) of sorted values, with a line between neighbours as in NumPy. */
export function percentile(sorted: ArrayLike<number>, percent: number): number {
  if (sorted.length === 0) return Number.NaN
  const place = (percent / 100) * (sorted.length - 1)
  const low = Math.floor(place)
  const high = Math.min(low + 1, sorted.length - 1)
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (place - low)
}

/** Window of sorted values between two percentiles; never empty. */
export function windowOf(sorted: ArrayLike<number>, percents = AUTO): Window {
  const low = percentile(sorted, percents[0])
  const high = percentile(sorted, percents[1])
  if (!Number.isFinite(low)) return { low: 0, high: 1 }
  return high > low ? { low, high } : { low, high: low + Math.max(1e-6, Math.abs(low) * 1e-6, 1e-12) }
}

/** Pixels in equal steps from low to high; the last step includes high, others are left out. */
export function histogram(values: ArrayLike<number>, range: Window, bins = 128): Uint32Array {
  const counts = new Uint32Array(bins)
  const scale = bins / (range.high - range.low)
  for (let at = 0; at < values.length; at++) {
    const value = values[at]!
    if (!(value >= range.low && value <= range.high)) continue
    counts[Math.min(bins - 1, Math.floor((value - range.low) * scale))]!++
  }
  return counts
}

/** How the values of planes lie together. */
export function spreadOf(planes: Pixels[]): Spread {
  const sorted = sortedValues(planes)
  const range = sorted.length ? { low: sorted[0]!, high: sorted.at(-1)! } : null
  return { window: windowOf(sorted), range }
}

/** Greys of a plane for a small picture, 0 to 255 by the automatic contrast, as RGBA. */
export function greysOf(data: Pixels): Uint8ClampedArray<ArrayBuffer> {
  const { low, high } = windowOf(sortedValues([data]))
  const greys = new Uint8ClampedArray(4 * data.length)
  for (let at = 0; at < data.length; at++) {
    greys.fill((255 * (data[at]! - low)) / (high - low), 4 * at, 4 * at + 3)
    greys[4 * at + 3] = 255
  }
  return greys
}
