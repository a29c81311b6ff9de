/** A part of a stack as a TIFF of its own: what is sent where not all of an image is wanted. */

import type { Pixels, Stack } from './stack'
import { ImageError } from './stack'

/** Places from 0, the last one included. */
export interface Part {
  t: [number, number]
  z: [number, number]
  c: number | null
}

export function isWhole(stack: Stack, part: Part): boolean {
  const { t, z } = stack.sizes
  return part.t[0] === 0 && part.t[1] === t - 1 && part.z[0] === 0 && part.z[1] === z - 1
}

const LIMIT = 2 ** 32 - 2 ** 20

/** Frames and slices of a stack, with all channels, as an ImageJ hyperstack with its sampling. */
export async function cut(stack: Stack, part: Part): Promise<File> {
  const t = part.t[1] - part.t[0] + 1
  const z = part.z[1] - part.z[0] + 1
  const { c, y, x } = stack.sizes
  const planes: Pixels[] = []
  let dtype = stack.dtype
  for (let frame = part.t[0]; frame <= part.t[1]; frame++)
    for (let slice = part.z[0]; slice <= part.z[1]; slice++)
      for (let channel = 0; channel < c; channel++) {
        const { data } = await stack.plane(frame, channel, slice)
        // ImageJ has these three; others are kept as float, whose 24 bits hold what cameras give.
        planes.push(/^(uint8|uint16|float32)$/.test(dtype) ? data : Float32Array.from(data))
      }
  if (!/^(uint8|uint16|float32)$/.test(dtype)) dtype = 'float32'
  const bytes = planes.reduce((sum, plane) => sum + plane.byteLength, 0)
  if (bytes > LIMIT) throw new ImageError('The chosen part is larger than 4 GB.', 'Choose fewer slices or frames.')
  const head = header(stack, { t, c, z, y, x, dtype, bytes })
  const name = stack.name.replace(/(\.ome)?\.tiff?$/i, '')
  return new File([head, ...(planes as unknown as BlobPart[])], `${name}-part.tif`, { type: 'image/tiff' })
}

interface Layout {
  t: number
  c: number
  z: number
  y: number
  x: number
  dtype: string
  bytes: number
}

/** One directory in front of the planes, as ImageJ writes it. */
function header(stack: Stack, layout: Layout): ArrayBuffer {
  const text = new TextEncoder().encode(description(stack, layout))
  const bits = Number(/\d+/.exec(layout.dtype)![0])
  const { x, y } = stack.sampling
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

function description(stack: Stack, { t, c, z }: Layout): string {
  const said = ['ImageJ=1.54f', `images=${t * c * z}`]
  if (c > 1) said.push(`channels=${c}`)
  if (z > 1) said.push(`slices=${z}`)
  if (t > 1) said.push(`frames=${t}`)
  if ((c > 1 ? 1 : 0) + (z > 1 ? 1 : 0) + (t > 1 ? 1 : 0) > 1) said.push('hyperstack=true')
  if (stack.sampling.x) said.push('unit=um')
  if (z > 1 && stack.sampling.z) said.push(`spacing=${stack.sampling.z}`)
  if (t > 1 && stack.sampling.t) said.push(`finterval=${stack.sampling.t}`)
  return `${said.join('\n')}\n\0\0\0\0`
}
