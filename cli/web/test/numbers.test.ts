import { describe, expect, it } from 'vitest'
import { describe as described, micrometres, planeNumber } from '../src/images/description'
import { difference } from '../src/images/difference'
import { profile, valueAt } from '../src/images/profile'
import { histogram, percentile, sortedValues, windowOf } from '../src/images/statistics'
import { indexIn, places } from '../src/viewer/pairing'
import { barLength, fitted, placed, zoomed } from '../src/viewer/viewport'
import type { Plane, Stack } from '../src/images/stack'

const ramp: Plane = { data: Float32Array.from({ length: 12 }, (_, i) => (i % 4) + 10 * Math.floor(i / 4)), width: 4, height: 3 }

describe('statistics', () => {
  it('percentiles lie on a line between neighbours', () => {
    expect(percentile([0, 10, 20, 30], 50)).toBe(15)
    expect(percentile([0, 10, 20, 30], 99)).toBeCloseTo(29.7)
    expect(percentile([], 50)).toBeNaN()
  })

  it('values that are no numbers are left out', () => {
    expect([...sortedValues([Float32Array.of(3, Number.NaN, 1, Infinity)])]).toEqual([1, 3])
  })

  it('large planes are thinned evenly', () => {
    const plane = Uint16Array.from({ length: 1000 }, (_, i) => i)
    expect([...sortedValues([plane], 10)]).toEqual([0, 100, 200, 300, 400, 500, 600, 700, 800, 900])
  })

  it('a plane of one value still has a window', () => {
    const { low, high } = windowOf([7, 7, 7])
    expect(low).toBe(7)
    expect(high).toBeGreaterThan(low)
  })

  it('a histogram counts its last value and leaves out others', () => {
    expect([...histogram([0, 1, 2, 3, 4, 5], { low: 0, high: 4 }, 4)]).toEqual([1, 1, 1, 2])
  })
})

describe('line profiles', () => {
  it('between pixels the value is on the plane through the four around', () => {
    expect(valueAt(ramp, 1.5, 0.5)).toBe(6.5)
    expect(valueAt(ramp, -5, 99)).toBe(20)
  })

  it('a line along a row gives its pixels', () => {
    const row = profile(ramp, { x: 0.125, y: 0.5 }, { x: 0.875, y: 0.5 }, 4)
    expect([...row]).toEqual([10, 11, 12, 13])
  })

  it('the same line goes through an image of twice the sampling', () => {
    const fine: Plane = { data: Float32Array.from({ length: 48 }, (_, i) => Math.floor((i % 8) / 2)), width: 8, height: 6 }
    const [start, end] = profile(fine, { x: 0.125, y: 0.5 }, { x: 0.875, y: 0.5 }, 2)
    expect([start, end]).toEqual([0, 3])
  })

  it('a difference is on the grid of the result', () => {
    const flat: Plane = { data: Float32Array.of(5), width: 1, height: 1 }
    expect([...difference(flat, ramp).data]).toEqual([...ramp.data].map((value) => value - 5))
    expect(Math.max(...difference(ramp, ramp).data)).toBe(0)
  })
})

describe('descriptions', () => {
  const none = { x: null, y: null, unit: 2 }

  it('ImageJ counts channels first, then slices, then frames', () => {
    const text = 'ImageJ=1.54f\nimages=24\nchannels=2\nslices=4\nframes=3\nunit=micron\nspacing=-0.3\n'
    const found = described(text, { pages: 24, samples: 1 }, { x: 4, y: 4, unit: 1 })
    expect(found.sizes).toEqual({ t: 3, c: 2, z: 4 })
    expect(found.sampling).toEqual({ x: 0.25, y: 0.25, z: 0.3, t: null })
    expect(planeNumber(found, { t: 1, c: 1, z: 2 })).toBe(8 + 4 + 1)
  })

  it('OME says the order, and may say where each plane lies', () => {
    const entry = (c: number, z: number, ifd: number) => `<TiffData FirstC="${c}" FirstZ="${z}" IFD="${ifd}" PlaneCount="1"/>`
    const text =
      '<?xml version="1.0"?><OME><Image><Pixels DimensionOrder="XYZCT" SizeC="2" SizeZ="2" SizeT="1">' +
      '<Channel Name="a"/><Channel/>' + entry(0, 0, 3) + entry(0, 1, 2) + entry(1, 0, 1) + entry(1, 1, 0) + '</Pixels></Image></OME>'
    const found = described(text, { pages: 4, samples: 1 }, none)
    expect(planeNumber(found, { t: 0, c: 1, z: 0 })).toBe(1)
    expect(found.channels).toEqual(['a', null])
  })

  it('dots an inch of a print are no pixel size', () => {
    expect(described('', { pages: 1, samples: 1 }, { x: 72, y: 72, unit: 2 }).sampling.x).toBeNull()
    expect(micrometres(120, 'nm')).toBeCloseTo(0.12)
    expect(micrometres(1, 'parsec')).toBeNull()
  })
})

describe('viewports', () => {
  it('zooming keeps the place under the pointer', () => {
    const screen = { x: 0, y: 0, width: 400, height: 300 }
    const picture = { width: 100, height: 100 }
    const view = fitted(picture, screen)
    const about = { x: 90, y: 40 }
    const inPicture = (at: { x: number; y: number; width: number }) => [(about.x - at.x) / at.width, (about.y - at.y) / at.width]
    const before = inPicture(placed(view, picture, screen))
    const after = inPicture(placed(zoomed(view, 1.7, about, screen), picture, screen))
    expect(after[0]).toBeCloseTo(before[0]!)
    expect(after[1]).toBeCloseTo(before[1]!)
  })

  it('scale bars are 1, 2 or 5 of a power of ten', () => {
    expect(barLength(0.1, 120)).toBe(10)
    expect(barLength(0.06, 120)).toBe(5)
    expect(barLength(0.002, 120)).toBeCloseTo(0.2)
  })
})

describe('an image and its result', () => {
  const stack = (z: number, step: number | null) =>
    ({ sizes: { t: 1, c: 1, z, y: 8, x: 8 }, sampling: { x: 0.1, y: 0.1, z: step, t: null } }) as Stack

  it('slices are counted in the finer one, and found by their distance', () => {
    const pair = { before: stack(5, 0.4), after: stack(17, 0.1) }
    expect(places(pair, 'z')).toBe(17)
    expect([0, 4, 5, 16].map((place) => indexIn(pair.before, pair, 'z', place))).toEqual([0, 1, 1, 4])
    expect(indexIn(pair.after, pair, 'z', 5)).toBe(5)
  })

  it('without distances slices are found by their share', () => {
    const pair = { before: stack(2, null), after: stack(8, null) }
    expect([0, 3, 4, 7].map((place) => indexIn(pair.before, pair, 'z', place))).toEqual([0, 0, 1, 1])
  })

  it('a projection has one slice for all', () => {
    const pair = { before: stack(50, null), after: stack(1, null) }
    expect(indexIn(pair.after, pair, 'z', 33)).toBe(0)
  })
})
