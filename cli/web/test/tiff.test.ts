import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, inject, it } from 'vitest'
import { cut } from '../src/images/cut'
import { section } from '../src/images/sections'
import type { Stack } from '../src/images/stack'
import { histogram, percentile, sortedValues } from '../src/images/statistics'
import { openTiff } from '../src/images/tiff'

interface Facts {
  sizes: Record<'t' | 'c' | 'z' | 'y' | 'x', number>
  dtype: string
  planes: Record<string, number[]>
  percentiles: number[]
  histogram: number[]
}

const folder = inject('folder')
const facts: Record<string, Facts> = JSON.parse(readFileSync(join(folder, 'facts.json'), 'utf8'))
const file = (name: string) => new Blob([readFileSync(join(folder, `${name}.tif`))])
const open = (name: string) => openTiff(file(name), `${name}.tif`)

async function expectPixels(stack: Stack, expected: Facts) {
  for (const [key, [sum, first, middle, last]] of Object.entries(expected.planes)) {
    const [t, c, z] = key.split('/').map(Number)
    const { data, width, height } = await stack.plane(t!, c!, z!)
    expect([width, height]).toEqual([expected.sizes.x, expected.sizes.y])
    expect([data[0], data[11 * width + 20], data[36 * width + 20]]).toEqual([first, middle, last])
    expect(Array.from(data).reduce((total, value) => total + value, 0)).toBeCloseTo(sum!, 3)
  }
}

describe('images that tifffile wrote', () => {
  it('are there', () => expect(Object.keys(facts).length).toBeGreaterThanOrEqual(14))

  it.each(Object.keys(facts))('%s has the sizes and pixels that were written', async (name) => {
    const stack = await open(name)
    const expected = facts[name]!
    expect(stack.sizes).toEqual(expected.sizes)
    expect(stack.dtype).toBe(expected.dtype)
    await expectPixels(stack, expected)
  })

  it.each(['plain8', 'plain16', 'float', 'signed'])('%s has the percentiles and histogram of NumPy', async (name) => {
    const { data } = await (await open(name)).plane(0, 0, 0)
    const sorted = sortedValues([data])
    const found = [0, 0.5, 2, 50, 99.8, 100].map((percent) => percentile(sorted, percent))
    found.forEach((value, index) => expect(value).toBeCloseTo(facts[name]!.percentiles[index]!, 8))
    const counts = histogram(data, { low: sorted[0]!, high: sorted.at(-1)! }, 16)
    expect([...counts]).toEqual(facts[name]!.histogram)
  })

  it('say their pixel sizes in micrometres', async () => {
    expect((await open('imagej')).sampling).toEqual({ x: 0.125, y: 0.125, z: 0.5, t: 2.5 })
    const ome = await open('ome')
    expect(ome.sampling).toEqual({ x: 0.125, y: 0.125, z: 0.5, t: null })
    expect(ome.channels).toEqual(['DAPI', 'GFP'])
    expect((await open('plain16')).sampling.x).toBeCloseTo(0.2, 6)
    expect((await open('plain8')).sampling.x).toBeNull()
  })
})

describe('files that are no whole image', () => {
  it('a text is refused with what to do', async () => {
    await expect(open('text')).rejects.toMatchObject({
      message: 'text.tif is not a TIFF file, or it is damaged.',
      hint: expect.stringContaining('Save it as TIFF'),
    })
  })

  it('a chain of directories that leads in a circle is refused', async () => {
    await expect(open('circle')).rejects.toThrow('circle.tif is damaged: its directory of plane')
  })

  it('an image without columns, and planes that cannot be decoded, are refused in words', async () => {
    await expect(open('no_columns')).rejects.toThrow('no_columns.tif has 0 x 8 pixels')
    const plane = (await open('no_deflate')).plane(0, 0, 0)
    await expect(plane).rejects.toThrow(/Plane 1 of no_deflate\.tif cannot be decoded in the browser: (?!undefined)/)
  })

  it.each(['other_codes', 'all_ones', 'zeros', 'ended'])('LZW data with %s are called damaged', async (damage) => {
    const plane = (await open(`lzw_${damage}`)).plane(0, 0, 0)
    await expect(plane).rejects.toMatchObject({
      message: expect.stringMatching(new RegExp(`^lzw_${damage}\\.tif is damaged: its plane 1 cannot be decoded`)),
      hint: expect.stringContaining('Copy the file again'),
    })
  })

  it('an image of single bits is told as what it is', async () => {
    await expect(open('single_bits')).rejects.toThrow('single_bits.tif has pixels of the type uint1.')
  })

  it('a page of another type is none of the planes', async () => {
    const stack = await open('two_types')
    expect([stack.sizes.z, stack.dtype]).toEqual([1, 'uint16'])
  })

  it('a stack that broke off is refused', async () => {
    await expect(open('broken').then((stack) => stack.plane(2, 1, 3))).rejects.toThrow(/broken\.tif/)
  })
})

describe('parts of an image', () => {
  it.each(['imagej', 'imagej_float', 'one_directory', 'big_endian'])('of %s are read back the same', async (name) => {
    const whole = await open(name)
    const z: [number, number] = whole.sizes.z > 1 ? [1, 2] : [0, 0]
    const t: [number, number] = whole.sizes.t > 1 ? [1, 2] : [0, 0]
    const part = await openTiff(await cut(whole, { t, z }), 'part.tif')
    expect(part.sizes).toEqual({ ...whole.sizes, z: z[1] - z[0] + 1, t: t[1] - t[0] + 1 })
    expect(part.dtype).toBe(whole.dtype)
    expect(part.sampling.x).toBe(whole.sampling.x)
    for (let c = 0; c < whole.sizes.c; c++)
      expect((await part.plane(0, c, z[1] - z[0])).data).toEqual((await whole.plane(t[0], c, z[1])).data)
  })
})

describe('sections of a stack', () => {
  it('xz and yz hold the pixels of the planes', async () => {
    const stack = await open('imagej_float')
    const xz = await section(stack, { section: 'xz', t: 0, c: 0, index: 11 })
    const yz = await section(stack, { section: 'yz', t: 0, c: 0, index: 20 })
    expect([xz.width, xz.height, yz.width, yz.height]).toEqual([21, 4, 37, 4])
    for (let z = 0; z < 4; z++) {
      const { data } = await stack.plane(0, 0, z)
      expect(xz.data[z * 21 + 20]).toBe(data[11 * 21 + 20])
      expect(yz.data[z * 37 + 11]).toBe(data[11 * 21 + 20])
    }
  })
})
