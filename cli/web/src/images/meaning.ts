/** Intensities that Fiji shows for the numbers that a TIFF file stores: as `unifmir.images.tiff_pixels`. */

import { ImageError, type Pixels } from './stack'

export interface Meaning {
  /** Type of the intensities. */
  dtype: string
  /** Intensities of stored numbers. */
  intensities(stored: Pixels): Pixels
}

const WHITE_IS_ZERO = 0
const SIGN = 0x8000

/** How the numbers of a file's planes are meant. */
export function meaningOf(dtype: string, photometric: number, text: string, name: string): Meaning {
  if (photometric === WHITE_IS_ZERO) {
    if (!dtype.startsWith('uint'))
      throw new ImageError(
        `The pixels of ${name} are ${dtype}, and white is said to be zero, which only whole numbers without a sign can be.`,
        'Invert the image in Fiji by Edit › Invert, and save it again.',
      )
    const top = 2 ** Number(dtype.slice(4)) - 1
    return { dtype, intensities: (stored) => stored.map((value) => top - value) as Pixels }
  }
  if (dtype === 'uint16' && isSigned(text))
    return { dtype: 'int16', intensities: (stored) => Int16Array.from(stored, (value) => value - SIGN) }
  return { dtype, intensities: (stored) => stored }
}

/** Whether ImageJ's calibration is that of signed 16 bit: a straight line with this offset and slope. */
function isSigned(text: string): boolean {
  if (!text.startsWith('ImageJ=')) return false
  const said = (word: string) => Number(new RegExp(`^${word}=(.*)$`, 'm').exec(text)?.[1] ?? Number.NaN)
  return said('cf') === 0 && said('c0') === -SIGN && said('c1') === 1
}
