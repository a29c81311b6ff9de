/** How an image and its result belong together: which slices, and at which size. */

import type { Section, Sizes, StackFacts } from '../images/stack'
import type { Extent } from './viewport'

type Pair = { before: StackFacts; after: StackFacts | null }

/** Number of places that the scrubber of an axis has: those of the finer image. */
export function places({ before, after }: Pair, axis: keyof Sizes): number {
  return Math.max(before.sizes[axis], after?.sizes[axis] ?? 1)
}

/** Index in one image of a place on the scrubber, which counts in the finer one. */
export function indexIn(stack: StackFacts, pair: Pair, axis: keyof Sizes, place: number): number {
  const own = stack.sizes[axis]
  const all = places(pair, axis)
  if (own === all) return place
  if (own === 1) return 0
  const other = stack === pair.before ? pair.after : pair.before
  const step = axis === 'c' ? null : stack.sampling[axis]
  const finer = axis === 'c' || !other ? null : other.sampling[axis]
  // By distances where both files say them, else by shares of the axis.
  const found = step && finer ? (place * finer) / step : ((place + 0.5) * own) / all - 0.5
  return Math.min(own - 1, Math.max(0, Math.round(found)))
}

/** The axis that a section is moved along. */
export const ALONG: Record<Section, 'z' | 'y' | 'x'> = { xy: 'z', xz: 'y', yz: 'x' }

/**
 * Size of what both images show, in pixels of the finer one along x.
 *
 * Image and result cover the same part of the sample: both are drawn over this extent, whatever
 * their numbers of pixels. Along z a pixel is as long as the file says.
 */
export function extentOf(pair: Pair, which: Section): Extent {
  const stack = pair.after ?? pair.before
  const { x, y, z } = stack.sizes
  if (which === 'xy') return { width: x, height: y }
  const lateral = stack.sampling.x
  const ratio = lateral && stack.sampling.z ? stack.sampling.z / lateral : 1
  return { width: which === 'xz' ? x : y, height: Math.max(1, z * ratio) }
}

/** Micrometres a pixel of the extent; null where neither file says. */
export function pixelSize(pair: Pair): number | null {
  const { before, after } = pair
  if (!after) return before.sampling.x
  if (after.sampling.x) return after.sampling.x
  return before.sampling.x && (before.sampling.x * before.sizes.x) / after.sizes.x
}
