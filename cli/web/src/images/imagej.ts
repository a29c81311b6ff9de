/** The start of a TIFF as ImageJ writes its stacks: planes follow, one after the other. */

import type { Sampling } from './stack'

export interface Layout {
  t: number
  c: number
  z: number
  y: number
  x: number
  /** uint8, uint16 or float32: what ImageJ has. */
  dtype: string
  sampling: Sampling
  /** Intensities shown as black and white. */
  display?: readonly [number, number]
}

/** One directory in front of the planes, as ImageJ writes it. */
export function imagejHeader(layout: Layout): ArrayBuffer {
  const text = new TextEncoder().encode(description(layout))
  const bits = Number(/\d+/.exec(layout.dtype)![0])
  const { x, y } = layout.sampling
  // A millionth is what resolutions are said to, in pixels a micrometre.
  const perUnit = (size: number | null) => [size ? Math.round(1e6 / size) : 1, size ? 1e6 : 1] as const
  const tags: [number, number, number, number | Uint8Array | readonly [number, number]][] = [
    [256, 4, 1, layout.x],
    [257, 4, 1, layout.y],
    [258, 3, 1, bits],
    [259, 3, 1, 1],
    [262, 3, 1, 1],
    [270, 2, text.length, text],
    [273, 4, 1, 0],
    [277, 3, 1, 1],
    [278, 4, 1, layout.y],
    [279, 4, 1, layout.x * layout.y * (bits / 8)],
    [282, 5, 1, perUnit(x)],
    [283, 5, 1, perUnit(y)],
    [296, 3, 1, 1],
    [339, 3, 1, layout.dtype === 'float32' ? 3 : 1],
  ]
  const inline = 8 + 2 + tags.length * 12 + 4
  const pixels = Math.ceil((inline + text.length + 16) / 8) * 8
  const view = new DataView(new ArrayBuffer(pixels))
  const little = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1
  view.setUint16(0, little ? 0x4949 : 0x4d4d)
  view.setUint16(2, 42, little)
  view.setUint32(4, 8, little)
  view.setUint16(8, tags.length, little)
  let end = inline
  tags.forEach(([tag, type, count, value], index) => {
    const at = 10 + index * 12
    view.setUint16(at, tag, little)
    view.setUint16(at + 2, type, little)
    view.setUint32(at + 4, count, little)
    if (typeof value === 'number') {
      if (type === 3) view.setUint16(at + 8, value, little)
      else view.setUint32(at + 8, tag === 273 ? pixels : value, little)
      return
    }
    view.setUint32(at + 8, end, little)
    if (value instanceof Uint8Array) {
      new Uint8Array(view.buffer).set(value, end)
      end += value.length
    } else {
      view.setUint32(end, value[0]!, little)
      view.setUint32(end + 4, value[1]!, little)
      end += 8
    }
  })
  return view.buffer
}

function description({ t, c, z, sampling, display }: Layout): string {
  const said = ['ImageJ=1.54f', `images=${t * c * z}`]
  if (c > 1) said.push(`channels=${c}`)
  if (z > 1) said.push(`slices=${z}`)
  if (t > 1) said.push(`frames=${t}`)
  if ((c > 1 ? 1 : 0) + (z > 1 ? 1 : 0) + (t > 1 ? 1 : 0) > 1) said.push('hyperstack=true')
  if (sampling.x) said.push('unit=um')
  if (z > 1 && sampling.z) said.push(`spacing=${sampling.z}`)
  if (t > 1 && sampling.t) said.push(`finterval=${sampling.t}`)
  if (display) said.push(`min=${display[0]}`, `max=${display[1]}`)
  return `${said.join('\n')}\n\0\0\0\0`
}
