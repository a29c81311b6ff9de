/** What the page and the worker that restores tell each other. */

import type { Settings } from './engine'
import type { SiteNetwork } from './site'

export interface Order {
  file: File
  settings: Settings
  network: SiteNetwork
  /** Address of the site's folder. */
  root: string
}

export type Told =
  | { kind: 'loading'; what: string; share: number | null }
  | { kind: 'running'; done: number; total: number; secondsLeft: number | null }
  | { kind: 'done'; result: Blob; report: Record<string, unknown>; speed: string }
  | { kind: 'failed'; message: string; hint: string }
