import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, inject, it } from 'vitest'
import { openTiff } from '../src/images/tiff'
import type { Network } from '../src/restoration/network'
import { pieces } from '../src/restoration/intensities'
import { restoreImage } from '../src/restoration/restore'
import { normalised, percentiles, scalingOf, type Normalization } from '../src/restoration/scaling'
import type { Run } from '../src/restoration/tiles'

interface Case {
  facts: Network
  options: { tile?: number; intensity?: Network['intensity']; z_factor?: number }
  shape: number[]
}
interface Scaled {
  dtype: string
  values: number[]
  by: Normalization
  low: number
  span: number
  scaled: number[]
  percentiles: number[]
}

const folder = inject('folder')
const told: { cases: Record<string, Case>; scalings: Scaled[] } = JSON.parse(
  readFileSync(join(folder, 'restorations.json'), 'utf8'),
)

const ARRAYS = {
  uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array,
  uint32: Uint32Array, int32: Int32Array, float32: Float32Array, float64: Float64Array,
}

/** As the toys of Python: each pixel with the one before it and the one above it. */
function smoothed(data: Float32Array, rows: number, columns: number): Float32Array {
  return data.map((value, at) => {
    const left = at % columns ? data[at - 1]! : value
    const above = Math.floor(at / columns) % rows ? data[at - columns]! : value
    return Math.fround(Math.fround(value + left) + above) / 3
  })
}

const TOYS: Record<string, Run> = {
  denoise: async (data, shape) => {
    const [planes, rows, columns] = shape.slice(2) as [number, number, number]
    const size = rows * columns
    const mixed = data.map((value, at) => Math.fround(value + (at >= size ? data[at - size]! : value)) / 2)
    expect(data.length).toBe(planes * size)
    return { data: smoothed(mixed, rows, columns), shape }
  },
  sr: async (data, shape) => {
    const [rows, columns] = shape.slice(2) as [number, number]
    const found = smoothed(data, rows, columns)
    const finer = Float32Array.from({ length: found.length * 4 }, (_, at) => {
      const [row, column] = [Math.floor(at / (2 * columns)), at % (2 * columns)]
      return found[Math.floor(row / 2) * columns + Math.floor(column / 2)]!
    })
    return { data: finer, shape: [shape[0]!, 1, rows * 2, columns * 2] }
  },
  isotropic: async (data, shape) => ({ data: smoothed(data, shape[2]!, shape[3]!), shape }),
  projection: async (data, shape) => {
    const size = shape[3]! * shape[4]!
    expect(shape.slice(0, 3)).toEqual([1, 1, 50])
    const highest = data.slice(0, size)
    for (let at = size; at < data.length; at++) highest[at % size] = Math.max(highest[at % size]!, data[at]!)
    return { data: smoothed(highest, shape[3]!, shape[4]!), shape: [1, 1, shape[3]!, shape[4]!] }
  },
  volume: async (data, shape) => {
    const [rows, columns] = shape.slice(2) as [number, number]
    const found = smoothed(data, rows, columns)
    const planes = Float32Array.from({ length: 31 * found.length }, (_, at) => {
      const share = Math.fround(Math.floor(at / found.length) / 31)
      return Math.fround(found[at % found.length]! / 1000) * share
    })
    return { data: planes, shape: [1, 1, 31, rows, columns] }
  },
}

describe('an image restored in the browser', () => {
  it('takes no colours for channels of a microscope, as Python does not', async () => {
    const [{ facts }] = Object.values(told.cases) as [Case]
    const stack = await openTiff(new Blob([readFileSync(join(folder, 'colour.tif'))]), 'colour.tif')
    const asked = restoreImage(
      stack,
      facts,
      TOYS[facts.task]!,
      { channel: null, zFactor: null, rounded: false, intensity: null },
      { tile: null, bytes: 2 ** 31 },
      async () => undefined,
      () => undefined,
    )
    await expect(asked).rejects.toThrow('colour.tif is a colour picture: its 3 values a pixel')
  })

  it.each(Object.entries(told.cases))('is what Python makes of it: %s', async (name, { facts, options, shape }) => {
    const stack = await openTiff(new Blob([readFileSync(join(folder, `${name}.tif`))]), `${name}.tif`)
    const steps: [number, number][] = []
    const result = await restoreImage(
      stack,
      facts,
      TOYS[facts.task]!,
      { channel: null, zFactor: options.z_factor ?? null, rounded: false, intensity: options.intensity ?? null },
      { tile: options.tile ?? null, bytes: 2 ** 31 },
      async () => undefined,
      (done, total) => steps.push([done, total]),
    )
    expect(steps.at(-1)![0]).toBe(steps.at(-1)![1])
    if (options.tile) expect(result.facts.tiles).toBeGreaterThan(1)
    const after = await openTiff(new Blob(result.parts), 'result.tif')
    const { t, c, z, y, x } = after.sizes
    expect([t, c, z, y, x].filter((length) => length > 1)).toEqual(shape.filter((length) => length > 1))
    const bytes = readFileSync(join(folder, `${name}.result`))
    const expected = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))
    const range = expected.reduce((most, one) => Math.max(most, one), -Infinity) - expected.reduce((least, one) => Math.min(least, one), Infinity)
    let worst = 0
    for (let frame = 0; frame < t; frame++)
      for (let channel = 0; channel < c; channel++)
        for (let slice = 0; slice < z; slice++) {
          const { data } = await after.plane(frame, channel, slice)
          const at = (frame * c + channel) * z + slice
          data.forEach((value, pixel) => {
            worst = Math.max(worst, Math.abs(value - expected[at * x * y + pixel]!))
          })
        }
    expect(range).toBeGreaterThan(0)
    expect(worst / range).toBeLessThan(2e-6)
  })
})

describe('scaling', () => {
  it.each(told.scalings.map((one) => [one.dtype, one] as const))('of %s is that of Python, bit for bit', (dtype, one) => {
    const pixels = ARRAYS[dtype as keyof typeof ARRAYS].from(one.values)
    expect(percentiles(pixels, [0, 0.1, 50, 77.7, 100])).toEqual(one.percentiles)
    const found = scalingOf(pixels, one.by)
    expect([found.low, found.span]).toEqual([one.low, one.span])
    expect(Array.from(normalised(pixels, found))).toEqual(one.scaled)
  })

  it('refuses what is no picture, with what to do', () => {
    const by = told.scalings[0]!.by
    expect(() => scalingOf(Float32Array.from([1, Number.NaN, 2]), by)).toThrow('1 of 3 pixels are NaN')
    const spike = new Uint16Array(1000).fill(7)
    spike[3] = 60000
    expect(() => scalingOf(spike, by)).toThrow('both 7, although its values run from 7 to 60000')
    expect(scalingOf(new Uint16Array(10).fill(7), by)).toEqual({ low: 7, span: 1e-20, clip: true })
  })
})

it('pieces that a line is fitted to are spread over all times, and no two are alike', () => {
  const found = pieces(3, [5, 400, 300], 1, 40)
  expect(new Set(found.map(({ t }) => t))).toEqual(new Set([0, 1, 2]))
  expect(new Set(found.map((one) => JSON.stringify(one))).size).toBe(found.length)
  for (const { box } of found) expect(box.map(([first, end]) => end - first)).toEqual([1, 128, 128])
})
