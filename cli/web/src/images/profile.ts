/** Values along a line through a plane. */

import type { Plane } from './stack'

/** Place in fractions of the picture: 0 is the left or upper edge, 1 the right or lower. */
export interface Place {
  x: number
  y: number
}

/** Value between pixel centres, by the four around; at the edges the nearest pixel's. */
export function valueAt(plane: Plane, column: number, row: number): number {
  const x = Math.min(Math.max(column, 0), plane.width - 1)
  const y = Math.min(Math.max(row, 0), plane.height - 1)
  const left = Math.floor(x)
  const top = Math.floor(y)
  const right = Math.min(left + 1, plane.width - 1)
  const bottom = Math.min(top + 1, plane.height - 1)
  const { data, width } = plane
  const upper = data[top * width + left]! * (1 - (x - left)) + data[top * width + right]! * (x - left)
  const lower = data[bottom * width + left]! * (1 - (x - left)) + data[bottom * width + right]! * (x - left)
  return upper * (1 - (y - top)) + lower * (y - top)
}

/**
 * Values at `count` places from one end to the other, both included.
 *
 * Fractions of the picture and not pixels, so that the same line goes through images of other
 * sampling: the centre of pixel i of n lies at (i + 0.5) / n.
 */
export function profile(plane: Plane, from: Place, to: Place, count: number): Float64Array {
  const values = new Float64Array(count)
  for (let step = 0; step < count; step++) {
    const share = count === 1 ? 0 : step / (count - 1)
    const x = from.x + (to.x - from.x) * share
    const y = from.y + (to.y - from.y) * share
    values[step] = valueAt(plane, x * plane.width - 0.5, y * plane.height - 0.5)
  }
  return values
}
