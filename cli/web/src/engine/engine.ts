/**
 * What restores images: a server, or the browser itself.
 *
 * The page knows nothing of an engine but this. Values are plain, names are the page's own.
 */

export interface Task {
  name: string
  title: string
  summary: string
  /** Axes of the image and of the result, one letter each of z, y, x. */
  input: string
  output: string
}

export interface About {
  /** Where images are computed. */
  place: 'server' | 'browser'
  version: string
  machine: string
  tasks: Task[]
  /** Bytes of the largest image that is taken; null where nothing says. */
  largestBytes: number | null
  /** Seconds that images are kept; null where they never leave the browser. */
  keepSeconds: number | null
  /** Settings that the engine knows, by the names of `unifmir restore`. */
  settings: readonly string[]
}

export interface Model {
  id: string
  title: string
  tasks: string[]
  licence: string
  cite: string[]
  parameters: number | null
  embedded: boolean
  available: boolean
  measured: Measured[]
  /** Tasks that it can be tried for on this page, with the sample image and what it makes of it. */
  trials?: Trial[]
  /** Why it cannot be tried here, and what to do. */
  missing?: string
}

export interface Trial {
  task: string
  pictures: Pictures
}

/** Addresses of two pictures that are shown at one size. */
export interface Pictures {
  before: string
  after: string
  /** Pixels of the latter. */
  width: number
  height: number
}

export interface Measured {
  metric: string
  value: number
  unit: string | null
  dataset: string
}

export interface Sample {
  task: string
  name: string
  description: string
  licence: string
  authors: string[]
  url: string
  shape: number[]
  dtype: string
  /** Settings that the image itself needs. */
  options?: Record<string, string>
  /** Address of a picture of it; null: the image itself is shown. */
  picture?: string | null
}

/** Anything that JSON holds: reports, entries of the zoo. */
export type Facts = null | boolean | number | string | Facts[] | { [name: string]: Facts }

/** A table of measured results. */
export interface Table {
  title: string
  task: string | null
  rows: Record<string, Facts>[]
  /** What is written over the columns; their names if it is not given. */
  columns?: Record<string, string>
  /** Columns of a plot of one against the other. */
  plot?: { x: string; y: string } | null
  /** Where the figures were measured, for those that were measured by `unifmir benchmark`. */
  source?: { file: string; machine: string; created: string }
  /** Why there are no rows. */
  problem?: string
}

export interface Settings {
  task: string
  model?: string
  channel?: number
  [option: string]: string | number | boolean | number[] | undefined
}

export type Progress =
  | { state: 'sending'; share: number }
  | { state: 'loading'; /** What is fetched, in words. */ what: string; share: number | null }
  | { state: 'waiting'; /** Images before this one. */ place: number | null }
  /** The engine does not answer; the image goes on when it does. */
  | { state: 'lost' }
  | { state: 'running'; done: number; total: number; unit: string; secondsLeft: number | null }

/** What became of an image. */
export interface Restored {
  name: string
  bytes: number
  task: string
  model: string
  /** How fast it was, in words, where the engine says it. */
  speed?: string
  image(): Promise<Blob>
  report(): Promise<Facts>
}

export interface Engine {
  about(): Promise<About>
  models(): Promise<Model[]>
  /** Everything that is known of a model. */
  model(id: string): Promise<Facts>
  samples(): Promise<Sample[]>
  sample(sample: Sample): Promise<File>
  benchmarks(): Promise<Table[]>
  /** Restores an image; aborting the signal cancels it wherever it is, and throws its reason. */
  restore(
    file: File,
    settings: Settings,
    onProgress: (progress: Progress) => void,
    signal: AbortSignal,
  ): Promise<Restored>
  /** Images of earlier visits, where the engine keeps them. */
  readonly jobs?: Jobs
  /** Where the engine may ask for a password. */
  readonly access?: Access
}

/** A password: what the engine was asked for waits until it was given. */
export interface Access {
  /** Tells, now and whenever it changes, whether the password is asked for; returns how to end that. */
  watch(listener: (asked: boolean) => void): () => void
  /** Throws an EngineError where the password is wrong. */
  signIn(password: string): Promise<void>
}

export type JobState = 'waiting' | 'running' | 'done' | 'failed' | 'cancelled'

export interface Job {
  id: string
  state: JobState
  task: string
  model: string
  name: string
  created: string
  message: string
  /** Channel that was restored; null for all. */
  channel: number | null
}

export interface Jobs {
  list(): Promise<Job[]>
  input(job: Job): Promise<File>
  /** Waits for a job of before, as `restore` does for a new one. */
  follow(job: Job, onProgress: (progress: Progress) => void, signal: AbortSignal): Promise<Restored>
  remove(job: Job): Promise<void>
}

/** What went wrong, and what to do. */
export class EngineError extends Error {
  constructor(
    message: string,
    readonly hint = '',
  ) {
    super(message)
  }
}
