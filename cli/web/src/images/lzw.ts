/**
 * LZW as TIFF has it (TIFF 6.0, section 13), for geotiff.js in place of its own decoder (3.0.5, the newest), which
 * a damaged strip leads in a circle until the tab has no memory left.
 */

import { addDecoder, BaseDecoder } from 'geotiff'

const LZW = 5
const CLEAR = 256
const END = 257
const WIDEST = 12

/** Damage that shows in the numbers of a strip. */
export class DamagedStrip extends Error {}

/** Unpacks a strip, to `most` bytes at most. */
export function unpackLzw(packed: Uint8Array, most: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(most)
  // A table's entry is what was written before, with the byte that followed it.
  const starts = new Uint32Array(1 << WIDEST)
  const lengths = new Uint32Array(1 << WIDEST)
  let [waiting, bits, at] = [0, 0, 0]
  let [width, next] = [9, END + 1]
  let [start, length, end] = [0, 0, 0]
  while (end < most) {
    for (; bits < width && at < packed.length; bits += 8) waiting = (waiting << 8) | packed[at++]!
    if (bits < width) break
    bits -= width
    const code = waiting >>> bits
    waiting &= (1 << bits) - 1
    if (code === END) break
    if (code === CLEAR) {
      ;[width, next, length] = [9, END + 1, 0]
      continue
    }
    if (length > 0 && next < starts.length) {
      starts[next] = start
      lengths[next++] = length + 1
    }
    if (code >= next) throw new DamagedStrip(`its LZW data use code ${code} of a table of ${next}`)
    start = end
    if (code < CLEAR) {
      out[end++] = code
      length = 1
    } else {
      const from = starts[code]!
      length = lengths[code]!
      for (let i = 0; i < length && end < most; i++) out[end++] = out[from + i]!
    }
    if (next + 1 >= 1 << width && width < WIDEST) width++
  }
  return out.slice(0, end)
}

interface Parameters {
  tileWidth: number
  tileHeight: number
  predictor: number
  bitsPerSample: ArrayLike<number>
  planarConfiguration: number
  samplesPerPixel: number
}

class LzwDecoder extends BaseDecoder {
  override decodeBlock(packed: ArrayBufferLike) {
    const about = this.parameters as Parameters
    const samples = about.planarConfiguration === 2 ? 1 : about.samplesPerPixel
    const row = Math.ceil((about.tileWidth * samples * Math.max(...Array.from(about.bitsPerSample))) / 8)
    return unpackLzw(new Uint8Array(packed), row * about.tileHeight).buffer
  }
}

/** Lets geotiff.js unpack LZW by this module. */
export function registerLzw() {
  addDecoder(LZW, async () => LzwDecoder, async (directory) => {
    const value = async (tag: string, otherwise: unknown) =>
      directory.hasTag(tag as never) ? await directory.loadValue(tag as never) : otherwise
    const tiled = !directory.hasTag('StripOffsets')
    const height = Number(await value('ImageLength', 0))
    const rows = Number(await value(tiled ? 'TileLength' : 'RowsPerStrip', height))
    return {
      tileWidth: Number(await value(tiled ? 'TileWidth' : 'ImageWidth', 0)),
      // Where a strip is the whole image, writers name any larger number of rows.
      tileHeight: tiled ? rows : Math.min(rows, height),
      predictor: Number(await value('Predictor', 1)),
      bitsPerSample: (await value('BitsPerSample', [1])) as number[],
      planarConfiguration: Number(await value('PlanarConfiguration', 1)),
      samplesPerPixel: Number(await value('SamplesPerPixel', 1)),
    }
  })
}
