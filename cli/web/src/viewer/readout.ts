import type { Plane } from '../images/stack'
import { numberText } from '../page/text'
import type { Mode, Shown } from './planes'
import type { Rect } from './renderer'
import { placed, type Extent, type View } from './viewport'

interface Scene {
  planes: Shown
  view: View
  extent: Extent
  regions: Rect[]
  mode: Mode
  divider: number
  screen: Extent
}

/** Pixel under the pointer and its numbers in both images; null beside the picture. */
export function readout(pointer: { x: number; y: number }, scene: Scene): string | null {
  const region = scene.regions.find((one) => pointer.x >= one.x && pointer.x < one.x + one.width && pointer.y >= one.y && pointer.y < one.y + one.height)
  if (!region) return null
  const at = placed(scene.view, scene.extent, region)
  const x = (pointer.x - at.x) / at.width
  const y = (pointer.y - at.y) / at.height
  if (x < 0 || y < 0 || x >= 1 || y >= 1) return null
  const { before, after } = scene.planes
  const finest = after ?? before
  const parts = [`x ${Math.floor(x * finest.width)}`, `y ${Math.floor(y * finest.height)}`]
  parts.push(`${after ? 'before ' : ''}${numberText(pixel(before, x, y))}`)
  if (after) parts.push(`after ${numberText(pixel(after, x, y))}`)
  return parts.join('   ')
}

function pixel(plane: Plane, x: number, y: number): number {
  return plane.data[Math.floor(y * plane.height) * plane.width + Math.floor(x * plane.width)]!
}
