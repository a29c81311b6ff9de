/** What is another number in the result. */

import { valueAt } from './profile'
import type { Plane } from './stack'

/** After minus before, on the grid of the result; before is interpolated where it is coarser. */
export function difference(before: Plane, after: Plane): Plane {
  const { width, height } = after
  const data = new Float32Array(width * height)
  const same = before.width === width && before.height === height
  for (let row = 0; row < height; row++) {
    const y = ((row + 0.5) * before.height) / height - 0.5
    for (let column = 0; column < width; column++) {
      const at = row * width + column
      const x = ((column + 0.5) * before.width) / width - 0.5
      data[at] = after.data[at]! - (same ? before.data[at]! : valueAt(before, x, y))
    }
  }
  return { data, width, height }
}
