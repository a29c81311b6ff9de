import { useEffect, useState } from 'preact/hooks'
import { problemOf, type Problem } from '../page/loading'
import { difference } from '../images/profile'
import { section, type Plane, type Section, type Stack } from '../images/stack'
import { percentile, sortedValues } from '../images/statistics'
import { ALONG, indexIn, places } from './pairing'

export type Mode = 'slider' | 'side' | 'difference' | 'reliability'

export interface Place {
  section: Section
  index: number
  t: number
  c: number
}

export interface Shown {
  before: Plane
  after: Plane | null
  difference: { plane: Plane; most: number } | null
  reliability: { plane: Plane; low: number; high: number } | null
}

interface Images {
  before: Stack
  after: Stack | null
  reliability: Stack | null
  /** Channel of the image that the result shows; null for all. */
  channel: number | null
}

/** The planes of image, result and maps at a place of the scrubbers. */
export function usePlanes(images: Images, place: Place, mode: Mode): { shown: Shown | null; problem: Problem | null } {
  const [state, set] = useState<{ shown: Shown | null; problem: Problem | null }>({ shown: null, problem: null })
  const { before, after, reliability, channel } = images
  useEffect(() => {
    let wanted = true
    read(images, place, mode).then(
      (shown) => wanted && set({ shown, problem: null }),
      (error) => wanted && set({ shown: null, problem: problemOf(error) }),
    )
    return () => {
      wanted = false
    }
  }, [before, after, reliability, channel, place.section, place.index, place.t, place.c, mode])
  return state
}

async function read(images: Images, place: Place, mode: Mode): Promise<Shown> {
  const { before, after, reliability } = images
  const plane = (stack: Stack) => planeAt(stack, images, place)
  const [first, second] = await Promise.all([plane(before), after ? plane(after) : null])
  let differs: Shown['difference'] = null
  if (mode === 'difference' && second) {
    const made = difference(first, second)
    const most = percentile(sortedValues([made.data]).map(Math.abs).sort(), 99.8)
    differs = { plane: made, most: most > 0 ? most : 1 }
  }
  let relies: Shown['reliability'] = null
  if (mode === 'reliability' && reliability) {
    const map = await plane(reliability)
    const sorted = sortedValues([map.data])
    const [low, high] = [percentile(sorted, 0), percentile(sorted, 100)]
    relies = { plane: map, low, high: high > low ? high : low + 1 }
  }
  return { before: first, after: second, difference: differs, reliability: relies }
}

function planeAt(stack: Stack, images: Images, place: Place): Promise<Plane> {
  const pair = { before: images.before, after: images.after }
  const axis = ALONG[place.section]
  // A result without depth has no section along it: it is shown as it is.
  const which = stack.sizes.z === 1 ? 'xy' : place.section
  const index = which === 'xy' && axis !== 'z' ? 0 : indexIn(stack, pair, axis, place.index)
  return section(stack, { t: indexIn(stack, pair, 't', place.t), c: channelOf(stack, images, place.c), index }, which)
}

function channelOf(stack: Stack, images: Images, c: number): number {
  if (stack !== images.before) return Math.min(images.channel === null ? c : 0, stack.sizes.c - 1)
  return images.channel ?? Math.min(c, stack.sizes.c - 1)
}

/** Sorted values of planes spread over image and result: what an automatic contrast is taken from. */
export function useValues(images: Images, c: number): { before: Float64Array; after: Float64Array | null } | null {
  const [values, set] = useState<{ before: Float64Array; after: Float64Array | null } | null>(null)
  const { before, after, channel } = images
  useEffect(() => {
    let wanted = true
    const of = async (stack: Stack) => {
      const all = places({ before: stack, after: null }, 'z')
      const zs = [...new Set([0.1, 0.3, 0.5, 0.7, 0.9].map((share) => Math.floor(share * all)))]
      const t = Math.floor(stack.sizes.t / 2)
      const planes = await Promise.all(zs.map((z) => stack.plane(t, channelOf(stack, images, c), z)))
      return sortedValues(planes.map((plane) => plane.data))
    }
    Promise.all([of(before), after ? of(after) : null]).then(
      ([first, second]) => wanted && set({ before: first, after: second }),
      () => undefined, // usePlanes says what is wrong
    )
    return () => {
      wanted = false
    }
  }, [before, after, channel, c])
  return values
}
