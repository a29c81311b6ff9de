/** What is drawn where, by the mode. */

import type { Contrast } from './contrast'
import type { Mode, Shown } from './planes'
import type { Picture, Rect } from './renderer'
import { placed, type Extent, type View } from './viewport'

/** Parts of the screen with a picture each: one, or two side by side (on tall screens, below). */
export function regionsOf(mode: Mode, screen: Extent): Rect[] {
  const { width, height } = screen
  if (mode !== 'side') return [{ x: 0, y: 0, width, height }]
  if (height > width) {
    const half = Math.floor(height / 2)
    return [
      { x: 0, y: 0, width, height: half - 1 },
      { x: 0, y: half + 1, width, height: height - half - 1 },
    ]
  }
  const half = Math.floor(width / 2)
  return [
    { x: 0, y: 0, width: half - 1, height },
    { x: half + 1, y: 0, width: width - half - 1, height },
  ]
}

interface Scene {
  mode: Mode
  view: View
  extent: Extent
  regions: Rect[]
  divider: number
  contrast: Contrast
}

export function picturesOf(planes: Shown, scene: Scene): Picture[] {
  const { mode, view, extent, regions, divider, contrast } = scene
  const [first, second] = regions
  const { gamma } = contrast
  const at = placed(view, extent, first!)
  const grey = { gamma, map: 'grey' as const }
  if (mode === 'difference' && planes.difference) {
    const { plane, most } = planes.difference
    return [{ plane, at, clip: first!, window: { low: -most, high: most }, gamma: 1, map: 'difference' }]
  }
  const before: Picture = { plane: planes.before, at, clip: first!, window: contrast.before, ...grey }
  if (!planes.after) return [before]
  if (mode === 'side' && second)
    return [before, { plane: planes.after, at: placed(view, extent, second), clip: second, window: contrast.after, ...grey }]
  const split = Math.round(divider * first!.width)
  return [
    { ...before, clip: { ...first!, width: split } },
    { plane: planes.after, at, clip: { ...first!, x: split, width: first!.width - split }, window: contrast.after, ...grey },
  ]
}
