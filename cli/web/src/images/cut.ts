/** A part of a stack as a TIFF of its own: what is sent where not all of an image is wanted. */

import type { Part, Pixels, Stack } from './stack'
import { imagejHeader } from './imagej'
import { ImageError } from './stack'

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
  const head = imagejHeader({ t, c, z, y, x, dtype, sampling: stack.sampling })
  const name = stack.name.replace(/(\.ome)?\.tiff?$/i, '')
  return new File([head, ...(planes as unknown as BlobPart[])], `${name}-part.tif`, { type: 'image/tiff' })
}
