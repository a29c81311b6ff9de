/** What TIFF files say of their planes: in ImageJ's words, in OME's, or in tifffile's. */

import type { Sampling, Sizes } from './stack'

export interface Description {
  kind: string
  sizes: Pick<Sizes, 't' | 'c' | 'z'>
  /** The axis that changes first from plane to plane, then the next, then the last. */
  order: ('t' | 'c' | 'z')[]
  sampling: Sampling
  channels: (string | null)[]
  /** Place in the file of plane number i (in `order`); as they are counted if null. */
  places: number[] | null
  /** Planes that lie in one directory as samples of its pixels; 1: samples are colours. */
  samples: number
}

/** What the file holds: directories of planes, and samples of a pixel in each. */
export interface Held {
  pages: number
  samples: number
}

const UNKNOWN: Sampling = { x: null, y: null, z: null, t: null }

const MICROMETRES: Record<string, number> = {
  um: 1, 'µm': 1, 'μm': 1, '\\u00b5m': 1, '\\u00B5m': 1, micron: 1, microns: 1, micrometer: 1,
  nm: 1e-3, mm: 1e3, cm: 1e4, m: 1e6, pm: 1e-6, 'Å': 1e-4, inch: 25400,
}

/** Micrometres of a length; null where the unit is none or unknown. */
export function micrometres(value: number | null, unit: string | undefined): number | null {
  const factor = MICROMETRES[(unit ?? '').trim()]
  return value !== null && Number.isFinite(value) && value > 0 && factor ? value * factor : null
}

/** Reads a description; `perUnit` are pixels a unit as the resolution tags have them. */
export function describe(
  text: string,
  held: Held,
  perUnit: { x: number | null; y: number | null; unit: number },
): Description {
  if (text.startsWith('ImageJ=')) return ofImageJ(text, held.pages, perUnit)
  if (/<OME[\s>]/.test(text)) {
    const found = ofOme(text, held.pages)
    if (found) return found
  }
  return ofTifffile(text, held, perUnit)
}

function ofImageJ(
  text: string,
  pages: number,
  perUnit: { x: number | null; y: number | null },
): Description {
  const said = new Map(
    text.split('\n').map((line) => {
      const at = line.indexOf('=')
      return [line.slice(0, at), line.slice(at + 1).trim()] as const
    }),
  )
  const count = (name: string) => Math.max(1, Number.parseInt(said.get(name) ?? '1') || 1)
  const images = said.has('images') ? count('images') : pages
  const c = count('channels')
  let z = count('slices')
  const t = count('frames')
  // Old files say the number of images alone.
  if (c * z * t !== images) z = Math.max(1, Math.floor(images / (c * t)))
  const unit = said.get('unit')
  const number = (name: string) => (said.has(name) ? Number(said.get(name)) : null)
  const spacing = number('spacing')
  return {
    kind: 'ImageJ TIFF',
    sizes: { t, c, z },
    order: ['c', 'z', 't'],
    sampling: {
      x: micrometres(perUnit.x && 1 / perUnit.x, unit),
      y: micrometres(perUnit.y && 1 / perUnit.y, said.get('yunit') ?? unit),
      z: micrometres(spacing === null ? null : Math.abs(spacing), said.get('zunit') ?? unit),
      t: number('finterval'),
    },
    channels: Array(c).fill(null),
    places: null,
    samples: 1,
  }
}

function ofOme(text: string, pages: number): Description | null {
  const attributes = (tag: string) => {
    const found = [...text.matchAll(new RegExp(`<(?:\\w+:)?${tag}\\b([^>]*)>`, 'g'))]
    return found.map((one) => new Map([...one[1]!.matchAll(/([\w:]+)\s*=\s*"([^"]*)"/g)].map((a) => [a[1]!, a[2]!] as const)))
  }
  // The first image alone, as files of several series have a Pixels each.
  const end = text.indexOf('</Pixels>')
  const first = end < 0 ? text : text.slice(0, end)
  const [pixels] = attributes('Pixels')
  if (!pixels) return null
  const size = (axis: string) => Math.max(1, Number.parseInt(pixels.get(`Size${axis}`) ?? '1') || 1)
  const sizes = { t: size('T'), c: size('C'), z: size('Z') }
  const order = [...(pixels.get('DimensionOrder') ?? 'XYCZT').slice(2).toLowerCase()] as ('t' | 'c' | 'z')[]
  const length = (axis: string) =>
    micrometres(Number(pixels.get(`PhysicalSize${axis}`) ?? Number.NaN), pixels.get(`PhysicalSize${axis}Unit`) ?? 'µm')
  const inFirst = first.length
  const parts = attributes('Channel').slice(0, sizes.c)
  const listed = attributes('TiffData').filter((_, index) => index < sizes.t * sizes.c * sizes.z && inFirst > 0)
  const interval = Number(pixels.get('TimeIncrement') ?? Number.NaN)
  return {
    kind: 'OME-TIFF',
    sizes,
    order,
    sampling: { x: length('X'), y: length('Y'), z: length('Z'), t: Number.isFinite(interval) ? interval : null },
    channels: Array.from({ length: sizes.c }, (_, index) => parts[index]?.get('Name') ?? null),
    places: placesOf(listed, sizes, order, pages),
    samples: 1,
  }
}

function placesOf(
  listed: Map<string, string>[],
  sizes: Description['sizes'],
  order: Description['order'],
  pages: number,
): number[] | null {
  const planes = sizes.t * sizes.c * sizes.z
  if (listed.length < 2) return null
  const places = Array.from({ length: planes }, (_, index) => index)
  for (const entry of listed) {
    const ifd = Number.parseInt(entry.get('IFD') ?? '0')
    const first = { t: 'FirstT', c: 'FirstC', z: 'FirstZ' }
    let at = 0
    let stride = 1
    for (const axis of order) {
      at += Number.parseInt(entry.get(first[axis]) ?? '0') * stride
      stride *= sizes[axis]
    }
    const count = Number.parseInt(entry.get('PlaneCount') ?? '1')
    for (let k = 0; k < count && at + k < planes; k++) if (ifd + k < pages) places[at + k] = ifd + k
  }
  return places
}

function ofTifffile(
  text: string,
  { pages, samples }: Held,
  perUnit: { x: number | null; y: number | null; unit: number },
): Description {
  const plain: Description = {
    kind: 'TIFF',
    sizes: { t: 1, c: 1, z: pages },
    order: ['z', 'c', 't'],
    sampling: { ...UNKNOWN, ...ofTags(perUnit) },
    channels: [null],
    places: null,
    samples: 1,
  }
  let said: { axes?: string; shape?: number[] }
  try {
    said = JSON.parse(text)
  } catch {
    return plain
  }
  const axes = String(said?.axes ?? '').toLowerCase()
  const shape = Array.isArray(said?.shape) ? said.shape : []
  if (axes.length !== shape.length || !axes.endsWith('yx')) return plain
  const outer = [...axes.slice(0, -2)]
  if (outer.some((axis) => !'tcz'.includes(axis))) return plain
  const sizes = { t: 1, c: 1, z: 1 }
  outer.forEach((axis, index) => (sizes[axis as 'z'] = shape[index]!))
  const planes = sizes.t * sizes.c * sizes.z
  // Three or four planes may have been taken for colours: the axes say that they are none.
  const inSamples = samples > 1 && planes === pages * samples
  if (planes !== pages && !inSamples) return plain
  const order = [...outer].reverse() as Description['order']
  for (const axis of ['c', 'z', 't'] as const) if (!order.includes(axis)) order.push(axis)
  return { ...plain, sizes, order, channels: Array(sizes.c).fill(null), samples: inSamples ? samples : 1 }
}

/** Pixel sizes of resolution tags, unless they are dots an inch of a print (above 20 µm, as in Python). */
function ofTags(perUnit: { x: number | null; y: number | null; unit: number }) {
  const unit = { 2: 'inch', 3: 'cm' }[perUnit.unit]
  const x = micrometres(perUnit.x && 1 / perUnit.x, unit)
  const y = micrometres(perUnit.y && 1 / perUnit.y, unit)
  return x !== null && y !== null && x <= 20 && y <= 20 ? { x, y } : {}
}

/** Number of a plane in the file. */
export function planeNumber(
  description: Description,
  at: { t: number; c: number; z: number },
): number {
  let number = 0
  let stride = 1
  for (const axis of description.order) {
    number += at[axis] * stride
    stride *= description.sizes[axis]
  }
  return description.places?.[number] ?? number
}
