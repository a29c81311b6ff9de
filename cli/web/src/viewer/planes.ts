import { useEffect, useState } from 'preact/hooks'
import { problemOf, type Problem } from '../page/loading'
import { images } from '../images/image_reader'
import type { PlaneOf, PlanePair } from '../images/requests'
import type { OpenStack, Section } from '../images/stack'
import type { Spread, Window } from '../images/window'
import { ALONG, indexIn, places } from './pairing'

export type Mode = 'slider' | 'side' | 'difference'

export interface Place {
  section: Section
  index: number
  t: number
  c: number
}

/** What is on the screen, and of which places. */
export interface Shown extends PlanePair {
  at: { before: PlaneOf; after: PlaneOf | null }
}

/** How the values of image and result lie, over their depth. */
export interface Spreads {
  before: Spread
  after: Spread | null
}

interface Pair {
  before: OpenStack
  after: OpenStack | null
  /** Channel of the image that the result shows; null for all. */
  channel: number | null
}

/** The planes of image, result and difference at a place of the scrubbers. */
export function usePlanes(pair: Pair, place: Place, mode: Mode): { shown: Shown | null; problem: Problem | null } {
  const [state, set] = useState<{ shown: Shown | null; problem: Problem | null }>({ shown: null, problem: null })
  const { before, after, channel } = pair
  const compared = mode === 'difference'
  const [line] = useState(() => new NewestFirst())
  // Another image, section or map: what is being made is no longer wanted.
  useEffect(() => () => line.clear(), [before, after, channel, place.section, compared])
  useEffect(() => {
    const at = { before: placeIn(before, pair, place), after: after && placeIn(after, pair, place) }
    line.ask(async (signal) => {
      try {
        const made = await images.ask('planes', { ...at, difference: compared }, signal)
        set({ shown: { ...made, at }, problem: null })
      } catch (error) {
        if (!signal.aborted) set({ shown: null, problem: problemOf(error) })
      }
    })
  }, [before, after, channel, place.section, place.index, place.t, place.c, compared])
  return state
}

/** Work of which one piece is done at a time, and only the newest waits: a scrubber asks faster than planes are made. */
class NewestFirst {
  private stop: AbortController | null = null
  private next: ((signal: AbortSignal) => Promise<void>) | null = null

  ask(work: (signal: AbortSignal) => Promise<void>) {
    this.next = work
    if (!this.stop) void this.go()
  }

  clear() {
    this.next = null
    this.stop?.abort()
    this.stop = null
  }

  private async go() {
    while (this.next) {
      const stop = (this.stop = new AbortController())
      const work = this.next
      this.next = null
      await work(stop.signal)
      // Cleared meanwhile: what was asked for since then goes on by itself.
      if (this.stop !== stop) return
    }
    this.stop = null
  }
}

function placeIn(stack: OpenStack, { before, after, channel }: Pair, place: Place): PlaneOf {
  const axis = ALONG[place.section]
  // A result without depth has no section along it: it is shown as it is.
  const section = stack.sizes.z === 1 ? 'xy' : place.section
  const pair = { before, after }
  const index = section === 'xy' && axis !== 'z' ? 0 : indexIn(stack, pair, axis, place.index)
  const c = channelOf(stack, { before, after, channel }, place.c)
  return { stack: stack.id, section, t: indexIn(stack, pair, 't', place.t), c, index }
}

function channelOf(stack: OpenStack, { before, channel }: Pair, c: number): number {
  if (stack !== before) return Math.min(channel === null ? c : 0, stack.sizes.c - 1)
  return channel ?? Math.min(c, stack.sizes.c - 1)
}

/** How values lie in planes spread over image and result: what an automatic contrast is taken from. */
export function useSpreads(pair: Pair, c: number): { spreads: Spreads | null; problem: Problem | null } {
  const [state, set] = useState<{ spreads: Spreads | null; problem: Problem | null }>({ spreads: null, problem: null })
  const { before, after, channel } = pair
  useEffect(() => {
    const stop = new AbortController()
    const of = (stack: OpenStack) => {
      const all = places({ before: stack, after: null }, 'z')
      const zs = [...new Set([0.1, 0.3, 0.5, 0.7, 0.9].map((share) => Math.floor(share * all)))]
      const at = { stack: stack.id, section: 'xy' as const, t: Math.floor(stack.sizes.t / 2), c: channelOf(stack, pair, c) }
      return images.ask('spread', { planes: zs.map((index) => ({ ...at, index })) }, stop.signal)
    }
    Promise.all([of(before), after ? of(after) : null]).then(
      ([first, second]) => stop.signal.aborted || set({ spreads: { before: first, after: second }, problem: null }),
      // A plane that is not on the screen may be the one that is damaged.
      (error) => stop.signal.aborted || set({ spreads: null, problem: problemOf(error) }),
    )
    return () => stop.abort()
  }, [before, after, channel, c])
  return state
}

/** Pixels of a plane that is shown in equal steps of a range; null until they are counted. */
export function useHistogram(plane: PlaneOf | null, range: Window, steps: number): Uint32Array | null {
  const [counts, set] = useState<Uint32Array | null>(null)
  useEffect(() => {
    if (!plane) return set(null)
    const stop = new AbortController()
    images.ask('histogram', { plane, range, steps }, stop.signal).then(
      (made) => stop.signal.aborted || set(made),
      () => undefined, // usePlanes says what is wrong
    )
    return () => stop.abort()
  }, [plane, range.low, range.high, steps])
  return counts
}
