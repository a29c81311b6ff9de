/**
 * TIFF files, decoded in the browser.
 *
 * geotiff.js reads directories, compressions and predictors, and asks for the bytes it needs, so
 * that a file of gigabytes is not read into memory. What it does not know are ImageJ's stacks,
 * where one directory stands for all planes, one after the other: these are read here.
 */

import GeoTIFF, { type GeoTIFFImage } from 'geotiff'
import { describe, planeNumber, type Description } from './description'
import { DamagedStrip, registerLzw } from './lzw'
import { meaningOf } from './meaning'
import { PlaneCache } from './sections'
import { ImageError, type Pixels, type Plane, type Stack } from './stack'

registerLzw()

const MOST_PAGES = 200_000
const ACCEPTED = 'The page takes TIFF images of one grey value a pixel, 8, 16 or 32 bit, or float.'

const ARRAYS: Record<string, new (buffer: ArrayBuffer) => Pixels> = {
  uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array,
  uint32: Uint32Array, int32: Int32Array, float32: Float32Array, float64: Float64Array,
}

/** Opens a TIFF; an ImageError says what is wrong with a file that is none. */
export async function openTiff(blob: Blob, name: string): Promise<Stack> {
  let tiff: GeoTIFF
  let image: GeoTIFFImage
  try {
    tiff = await GeoTIFF.fromSource(sourceOf(blob) as never)
    image = await tiff.getImage(0)
  } catch {
    throw new ImageError(
      `${name} is not a TIFF file, or it is damaged.`,
      'Save it as TIFF, in Fiji by File › Save As › Tiff, and choose it again.',
    )
  }
  if (!(image.getWidth() > 0 && image.getHeight() > 0))
    throw new ImageError(`${name} has ${image.getWidth()} x ${image.getHeight()} pixels: it is empty or damaged.`, 'Save it again, or copy it again.')
  const stored = dtypeOf(image, name)
  const pages = await pageCount(tiff, image, name)
  const facts = image.getFileDirectory()
  const text = await textOf(facts)
  const samples = image.getSamplesPerPixel()
  const meaning = meaningOf(stored, Number((await value(facts, 'PhotometricInterpretation')) ?? 1), text, name)
  const description = describe(text, { pages, samples }, {
    x: await ratio(facts, 'XResolution'),
    y: await ratio(facts, 'YResolution'),
    unit: Number((await value(facts, 'ResolutionUnit')) ?? 2),
  })
  const planes = description.sizes.t * description.sizes.c * description.sizes.z
  const inSamples = description.samples
  const read =
    planes > pages * inSamples
      ? await contiguous(tiff, image, blob, { planes, dtype: stored, name })
      : (number: number, sample: number) =>
          decoded(tiff, Math.floor(number / inSamples), inSamples > 1 ? number % inSamples : sample, name)
  const reader = async (number: number, sample: number) => {
    const plane = await read(number, sample)
    return { ...plane, data: meaning.intensities(plane.data) }
  }
  return stackOf(image, blob, { name, description, samples, dtype: meaning.dtype, reader })
}

interface Slice {
  offset: number
  length: number
}

/** Bytes of a blob as geotiff.js asks for them; its own way needs FileReader, which workers lack. */
function sourceOf(blob: Blob) {
  const read = ({ offset, length }: Slice) => blob.slice(offset, offset + length).arrayBuffer()
  return {
    fileSize: blob.size,
    fetch: (slices: Slice[]) => Promise.all(slices.map(read)),
    fetchSlice: async (slice: Slice) => ({ ...slice, data: await read(slice) }),
    close: async () => undefined,
  }
}

type Reader = (number: number, sample: number) => Promise<Plane>

function stackOf(
  image: GeoTIFFImage,
  blob: Blob,
  about: { name: string; description: Description; samples: number; dtype: string; reader: Reader },
): Stack {
  const { description, samples, reader } = about
  const cache = new PlaneCache()
  // Samples of a pixel (red, green, blue) are channels here.
  const merged = samples > 1 && description.samples === 1 && description.sizes.c === 1
  const channels = merged ? samples : Math.max(1, description.sizes.c)
  return {
    name: about.name,
    bytes: blob.size,
    kind: description.kind,
    colour: merged,
    dtype: about.dtype,
    sampling: description.sampling,
    channels: merged ? ['red', 'green', 'blue', 'alpha'].slice(0, samples) : description.channels,
    sizes: { t: description.sizes.t, c: channels, z: description.sizes.z, y: image.getHeight(), x: image.getWidth() },
    plane: (t, c, z) =>
      cache.get(`${t}/${c}/${z}`, () =>
        reader(planeNumber(description, { t, c: merged ? 0 : c, z }), merged ? c : 0),
      ),
  }
}

function dtypeOf(image: GeoTIFFImage, name: string): string {
  const format = image.getSampleFormat() || 1
  // A file of single bits need not say so: it is what TIFF takes for granted.
  const bits = image.getBitsPerSample() || 1
  const kind = `${{ 1: 'uint', 2: 'int', 3: 'float' }[format] ?? 'unknown'}${bits}`
  if (kind in ARRAYS) return kind
  if (kind === 'float16') return 'float32'
  throw new ImageError(`${name} has pixels of the type ${kind}.`, ACCEPTED)
}

async function pageCount(tiff: GeoTIFF, image: GeoTIFFImage, name: string): Promise<number> {
  const kind = (one: GeoTIFFImage) =>
    [one.getWidth(), one.getHeight(), one.getSampleFormat(), one.getBitsPerSample()].join()
  const followed = new Set<number>()
  let pages = 1
  try {
    // Others are thumbnails, levels of a pyramid or further images, which lie behind the planes.
    for (; pages < MOST_PAGES; pages++) {
      const next = await tiff.getImage(pages)
      if (kind(next) !== kind(image)) break
      const { nextIFDByteOffset: after } = await tiff.requestIFD(pages)
      if (followed.has(after)) throw new Error('the chain of directories leads back to one before')
      followed.add(after)
    }
  } catch (error) {
    // What geotiff.js says behind the last directory.
    if (!/No image at index/.test(String(error))) {
      throw new ImageError(
        `${name} is damaged: its directory of plane ${pages + 1} cannot be read.`,
        'Copy the file again; a copy that broke off is the usual cause.',
      )
    }
  }
  return pages
}

async function decoded(tiff: GeoTIFF, number: number, sample: number, name: string): Promise<Plane> {
  try {
    const image = await tiff.getImage(number)
    const [data] = (await image.readRasters({ samples: [sample], interleave: false })) as unknown as Pixels[]
    return { data: data!, width: image.getWidth(), height: image.getHeight() }
  } catch (error) {
    // RangeError: a strip holds fewer pixels than the page says.
    if (error instanceof DamagedStrip || error instanceof RangeError) {
      throw new ImageError(
        `${name} is damaged: its plane ${number + 1} cannot be decoded (${error.message}).`,
        'Copy the file again; a copy that broke off is the usual cause.',
      )
    }
    throw new ImageError(
      `Plane ${number + 1} of ${name} cannot be decoded in the browser: ${error instanceof Error ? error.message : String(error)}`,
      'Save it without compression, or with LZW or Deflate.',
    )
  }
}

/** ImageJ's planes behind one directory: uncompressed, one after the other. */
async function contiguous(
  tiff: GeoTIFF,
  image: GeoTIFFImage,
  blob: Blob,
  about: { planes: number; dtype: string; name: string },
): Promise<Reader> {
  const facts = image.getFileDirectory()
  const compression = Number((await value(facts, 'Compression')) ?? 1)
  const offsets = (await value(facts, 'StripOffsets')) as ArrayLike<number> | undefined
  const pixels = image.getWidth() * image.getHeight()
  const bytes = ARRAYS[about.dtype] === undefined ? 0 : (pixels * image.getBitsPerSample()) / 8
  const start = Number(offsets?.[0] ?? Number.NaN)
  if (compression !== 1 || !(start >= 0) || start + bytes * about.planes > blob.size) {
    throw new ImageError(
      `${about.name} speaks of ${about.planes} planes and does not hold them.`,
      'Copy the file again; a copy that broke off is the usual cause.',
    )
  }
  return async (number) => {
    const buffer = await blob.slice(start + number * bytes, start + (number + 1) * bytes).arrayBuffer()
    return {
      data: numbers(buffer, about.dtype, tiff.littleEndian),
      width: image.getWidth(),
      height: image.getHeight(),
    }
  }
}

/** Numbers of bytes in the file's order; bytes are turned in place where it is not this machine's. */
export function numbers(buffer: ArrayBuffer, dtype: string, littleEndian: boolean): Pixels {
  const width = Number(/\d+$/.exec(dtype)![0]) / 8
  const native = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1
  if (width > 1 && littleEndian !== native) {
    const bytes = new Uint8Array(buffer)
    for (let at = 0; at + width <= bytes.length; at += width) bytes.subarray(at, at + width).reverse()
  }
  return new ARRAYS[dtype]!(buffer)
}

type Facts = ReturnType<GeoTIFFImage['getFileDirectory']>

async function value(facts: Facts, tag: string): Promise<unknown> {
  return facts.hasTag(tag as never) ? facts.loadValue(tag as never) : undefined
}

async function textOf(facts: Facts): Promise<string> {
  const said = await value(facts, 'ImageDescription')
  const text = typeof said === 'string' ? said : ''
  // Geotiff reads bytes as Latin-1; OME-XML is UTF-8, in which the µ of a unit has two.
  return text.replace(/\0+$/, '').replace(/Âµ/g, 'µ')
}

async function ratio(facts: Facts, tag: string): Promise<number | null> {
  const said = (await value(facts, tag)) as ArrayLike<number> | number | undefined
  const pair = typeof said === 'number' ? [said, 1] : said
  const found = pair && pair.length >= 2 ? Number(pair[0]) / Number(pair[1]) : Number.NaN
  return Number.isFinite(found) && found > 0 ? found : null
}
