/** Where on the screen a picture lies: its middle, and how large. */

import type { Rect } from './renderer'

export interface Extent {
  width: number
  height: number
}

/** Place in the picture that is in the middle of the screen, and screen pixels a picture pixel. */
export interface View {
  x: number
  y: number
  scale: number
}

const MOST = 64

export function fitted(picture: Extent, screen: Extent, margin = 0.96): View {
  const scale = Math.min(screen.width / picture.width, screen.height / picture.height) * margin
  return { x: picture.width / 2, y: picture.height / 2, scale: Math.max(scale, 1e-6) }
}

export function placed(view: View, picture: Extent, screen: Rect): Rect {
  return {
    x: screen.x + screen.width / 2 - view.x * view.scale,
    y: screen.y + screen.height / 2 - view.y * view.scale,
    width: picture.width * view.scale,
    height: picture.height * view.scale,
  }
}

/** Zooms by a factor about a place of the screen, which keeps what it shows. */
export function zoomed(view: View, by: number, about: { x: number; y: number }, screen: Rect): View {
  const scale = Math.min(Math.max(view.scale * by, 1e-3), MOST)
  const dx = about.x - (screen.x + screen.width / 2)
  const dy = about.y - (screen.y + screen.height / 2)
  return { x: view.x + dx / view.scale - dx / scale, y: view.y + dy / view.scale - dy / scale, scale }
}

/** Moves by pixels of the screen; the middle of the screen stays inside the picture. */
export function moved(view: View, dx: number, dy: number, picture: Extent): View {
  const inside = (value: number, most: number) => Math.min(Math.max(value, 0), most)
  return {
    ...view,
    x: inside(view.x - dx / view.scale, picture.width),
    y: inside(view.y - dy / view.scale, picture.height),
  }
}

/** Length of a scale bar, 1, 2 or 5 of a power of ten, that is at most so long on the screen. */
export function barLength(unitsPerPixel: number, mostPixels: number): number {
  const most = unitsPerPixel * mostPixels
  const power = 10 ** Math.floor(Math.log10(most))
  return [5, 2, 1].map((step) => step * power).find((length) => length <= most)!
}
