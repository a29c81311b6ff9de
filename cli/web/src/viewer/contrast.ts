/** Which numbers become black and white. */

import type { Spread, Window } from '../images/window'

export interface Contrast {
  before: Window
  after: Window
  /** One window for both images, so that a grey means the same number in both. */
  shared: boolean
  gamma: number
  /** Image and result are in other units: one window for both would show one of them alone. */
  unlike: boolean
}

/**
 * Contrast between percentiles of the images' values.
 *
 * One for both where both are in the same units: from the lower of both low percentiles to the
 * higher of both high ones.
 */
export function automatic(before: Spread, after: Spread | null, gamma = 1): Contrast {
  const first = before.window
  if (!after) return { before: first, after: first, shared: true, gamma, unlike: false }
  const second = after.window
  const unlike = areUnlike(first, second)
  if (unlike) return { before: first, after: second, shared: false, gamma, unlike }
  const both = joined(first, second)
  return { before: both, after: both, shared: true, gamma, unlike }
}

export function joined(one: Window, other: Window): Window {
  return { low: Math.min(one.low, other.low), high: Math.max(one.high, other.high) }
}

/** Whether two windows hardly meet, or one is a small part of the other. */
export function areUnlike(one: Window, other: Window): boolean {
  const spans = [one.high - one.low, other.high - other.low].sort((a, b) => a - b)
  const overlap = Math.min(one.high, other.high) - Math.max(one.low, other.low)
  return overlap < 0.1 * spans[0]! || spans[1]! > 25 * spans[0]!
}

/** Range that a histogram shows: all values, and the window where it is wider. */
export function rangeOf(spreads: Spread[], window: Window): Window {
  const range = spreads.reduce((all, { range }) => (range ? joined(all, range) : all), window)
  return range.high > range.low ? range : { low: range.low, high: range.low + 1 }
}
