/** Which numbers of an image become black and white. */

export interface Window {
  low: number
  high: number
}

/** Percentiles of the automatic contrast. */
export const AUTO: readonly [number, number] = [0.5, 99.8]

/** How the values of an image lie: what the automatic contrast takes, and the least and the largest. */
export interface Spread {
  window: Window
  /** Null where no value is a number. */
  range: Window | null
}
