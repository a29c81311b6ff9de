/** An image file restored in the browser, to the file that `unifmir restore` would write. */

import { imagejHeader } from '../images/imagej'
import { ImageError, type Pixels, type Sampling, type Stack } from '../images/stack'
import type { Limits } from './geometry'
import { bringBack, halfEven, type Compared } from './intensities'
import type { Network } from './network'
import { isotropicPlanes, planesRead, resampled, type Axis, type Volume } from './resampling'
import { invert, limit, normalised, scalingOf, type Scaling } from './scaling'
import { planned, restoreStack, type Run } from './tiles'

export interface Wishes {
  channel: number | null
  /** Planes of isotropic sampling per plane, where the file does not say them. */
  zFactor: number | null
  /** Whether the result has the image's own type of pixels, rounded. */
  rounded: boolean
  intensity: Network['intensity'] | null
}

export interface Result {
  parts: BlobPart[]
  bytes: number
  facts: {
    out_shape: number[]
    scaling: { low: number; span: number }[]
    tiles: number
    pitch: number[]
    pixels: number
    seconds: number
    notes: string[]
  }
}

/** Restores all time points and channels that are wanted. */
export async function restoreImage(
  stack: Stack,
  network: Network,
  run: Run,
  wishes: Wishes,
  limits: Limits,
  onPlanned: (runs: number) => Promise<void>,
  onProgress: (done: number, total: number) => void,
): Promise<Result> {
  const { t, z, y, x } = stack.sizes
  const channels = wishes.channel === null ? Array.from({ length: stack.sizes.c }, (_, c) => c) : [wishes.channel]
  require(stack, network, wishes)
  const depth = planesOf(stack, network, wishes)
  const plan = planned(network, [depth?.after ?? z, y, x], limits)
  const total = plan.runs * t * channels.length
  const intensity = wishes.intensity ?? network.intensity
  await onPlanned(total)
  const began = performance.now()
  const parts: Float32Array[] = []
  const scalings: Scaling[] = []
  const notes = depth && !network.isotropic ? [`its ${z} planes are interpolated to the ${depth.after} that this model projects`] : []
  let done = 0
  let planes = 1
  onProgress(0, total)
  for (const [place, channel] of channels.entries()) {
    const held: Compared[] = []
    for (let frame = 0; frame < t; frame++) {
      const raw = await pixelsOf(stack, frame, channel)
      const scaling = scalingOf(raw, network)
      const read = readAs(raw, stack, depth, scaling, network)
      const restored = await restoreStack(read, network, run, limits, () => onProgress(++done, total))
      if (scaling.clip) limit(restored.data)
      if (intensity !== 'percentile' && network.invertible) held.push({ raw, size: [z, y, x], restored, scaling })
      else if (network.invertible) invert(restored.data, scaling)
      planes = restored.size[0]
      parts[frame * channels.length + place] = restored.data
      scalings.push(scaling)
    }
    if (held.length) bringBack(held, network, depth, intensity === 'local', [t, channels.length, z, y, x])
  }
  const seconds = (performance.now() - began) / 1000
  const shape = { t, c: channels.length, z: planes, y: y * network.scale, x: x * network.scale }
  const written = pixelsWritten(parts, wishes.rounded ? stack.dtype : 'float32')
  const header = imagejHeader({ ...shape, dtype: written.dtype, sampling: samplingOf(stack, network, wishes, depth), display: written.range })
  const ordered = orderedPlanes(written.parts, shape)
  return {
    parts: [header, ...ordered],
    bytes: header.byteLength + ordered.reduce((sum, part) => sum + (part as Pixels).byteLength, 0),
    facts: {
      out_shape: [shape.t, shape.c, shape.z, shape.y, shape.x],
      scaling: scalings.map(({ low, span }) => ({ low, span })),
      tiles: plan.tiles.length * t * channels.length,
      pitch: [...plan.pitch],
      pixels: t * channels.length * z * y * x,
      seconds,
      notes,
    },
  }
}

/** Refuses what the network does not read, with what to do. */
function require(stack: Stack, network: Network, wishes: Wishes): void {
  const { z, y, x } = stack.sizes
  if (stack.colour)
    throw new ImageError(
      `${stack.name} is a colour picture: its ${stack.sizes.c} values a pixel are no channels of a microscope.`,
      'Convert it to grey, in Fiji by Image › Type › 16-bit, or save its channels as planes.',
    )
  const n = network.lens_px
  if (n > 1 && z !== 1) throw new ImageError(`A light field is a single plane; this image has ${z}.`, 'Choose one slice.')
  if (y % n || x % n)
    throw new ImageError(
      `The light field is ${x} x ${y} pixels, expected multiples of ${n}, the pixels behind a lens.`,
      'Crop it so that it begins and ends with a whole lens.',
    )
  if (wishes.rounded && !network.invertible)
    throw new ImageError(
      'The result has relative values from 0 to 1, which are no intensities of the image.',
      'Leave the pixels of the result as real numbers.',
    )
  if (z === 1 && (network.isotropic || (network.planes_read ?? 1) > 1))
    throw new ImageError('The image is a single plane, and this task restores stacks.', 'Open a stack.')
}

/** How planes are sampled anew for the network; null: as they are. */
function planesOf(stack: Stack, network: Network, wishes: Wishes): Axis | null {
  const { z } = stack.sizes
  if (network.isotropic) return isotropicPlanes(z, factorOf(stack, wishes))
  return network.planes_read !== null && network.lens_px === 1 ? planesRead(z, network.planes_read) : null
}

function factorOf({ sampling }: Stack, wishes: Wishes): number {
  if (wishes.zFactor !== null) return wishes.zFactor
  if (!sampling.z || !sampling.x)
    throw new ImageError(
      'The file does not say how far apart its planes are, compared with its pixels.',
      'Give “z step : pixel” under More settings: 4, say, or 1 where the stack is interpolated already.',
    )
  return sampling.z / sampling.x
}

/** All planes of a time point and channel, one after the other. */
async function pixelsOf(stack: Stack, t: number, c: number): Promise<Pixels> {
  const planes: Pixels[] = []
  for (let z = 0; z < stack.sizes.z; z++) planes.push((await stack.plane(t, c, z)).data)
  const first = planes[0]!
  if (planes.length === 1) return first
  const data = new (first.constructor as new (length: number) => Pixels)(first.length * planes.length)
  planes.forEach((plane, z) => data.set(plane as never, z * first.length))
  return data
}

/** The stack as the network reads it. */
function readAs(raw: Pixels, stack: Stack, depth: Axis | null, scaling: Scaling, network: Network): Volume {
  const { z, y, x } = stack.sizes
  const scale = (pixels: Pixels) => (network.scaled_inside ? Float32Array.from(pixels) : normalised(pixels, scaling))
  if (!depth) return { data: scale(raw), size: [z, y, x] }
  const { data, size } = resampled({ data: Float32Array.from(raw), size: [z, y, x] }, 0, depth)
  return { data: scale(data), size }
}

function samplingOf(stack: Stack, network: Network, wishes: Wishes, depth: Axis | null): Sampling {
  const { x, y, z, t } = stack.sampling
  const made = network.planes !== null
  const step = network.isotropic && !z && x && wishes.zFactor ? x * wishes.zFactor : z
  return {
    x: x && x / network.scale,
    y: y && y / network.scale,
    z: made || !step ? null : step * (depth?.step ?? 1),
    t,
  }
}

interface Written {
  parts: Pixels[]
  dtype: string
  range: readonly [number, number]
}

const WHOLE: Record<string, { array: new (length: number) => Pixels; most: number }> = {
  uint8: { array: Uint8Array, most: 255 },
  uint16: { array: Uint16Array, most: 65535 },
}

/** Numbers as the file holds them; types that ImageJ has not stay float. */
function pixelsWritten(parts: Float32Array[], dtype: string): Written {
  const whole = WHOLE[dtype]
  let [low, high] = [Infinity, -Infinity]
  const made = parts.map((part) => {
    const found = whole ? new whole.array(part.length) : part
    for (let at = 0; at < part.length; at++) {
      const value = whole ? Math.min(whole.most, Math.max(0, halfEven(part[at]!))) : part[at]!
      if (whole) found[at] = value
      if (value < low) low = value
      if (value > high) high = value
    }
    return found
  })
  return { parts: made, dtype: whole ? dtype : 'float32', range: [low, high] }
}

/** Planes in ImageJ's order: channels within slices within frames. */
function orderedPlanes(parts: Pixels[], { t, c, z, y, x }: { t: number; c: number; z: number; y: number; x: number }): BlobPart[] {
  if (c === 1) return parts as unknown as BlobPart[]
  const found: BlobPart[] = []
  for (let frame = 0; frame < t; frame++)
    for (let slice = 0; slice < z; slice++)
      for (let channel = 0; channel < c; channel++)
        found.push(parts[frame * c + channel]!.subarray(slice * y * x, (slice + 1) * y * x) as unknown as BlobPart)
  return found
}
