/** ONNX Runtime in this worker: on the processor, and on the graphics card where that is faster. */

import type * as Ort from 'onnxruntime-web'
import type { Network } from './network'
import type { Run } from './tiles'

/** Where the runtime's files lie, beside the page. */
const ENGINE = 'engine/'
/** Most threads that are started: more gain little, and each takes memory. */
const MOST_THREADS = 8
/** Runs from which on the graphics card is tried: its engine has 27 MB and compiles for seconds. */
const WORTH_TRYING = 8
/** How long the graphics card is waited for, at each step of its trial. */
const CARD_MS = 30_000
/** Largest difference between the two, of the range: more is another picture. */
const SAME = 1e-4

export type Provider = 'wasm' | 'webgpu'
const MODULES: Record<Provider, string> = { wasm: 'ort.wasm.min.mjs', webgpu: 'ort.webgpu.min.mjs' }

/** Threads of this browser: one where the page is not isolated from others, as hosts' headers decide. */
export function threadsHere(): number {
  if (!globalThis.crossOriginIsolated) return 1
  const cores = navigator.hardwareConcurrency || 1
  return Math.min(MOST_THREADS, cores > 4 ? Math.ceil(cores / 2) : cores)
}

interface Adapter {
  info?: { isFallbackAdapter?: boolean; architecture?: string }
}

/** Whether this browser gives a graphics card to programs, and not the processor in its place. */
export async function hasGraphics(): Promise<boolean> {
  const { gpu } = navigator as { gpu?: { requestAdapter(): Promise<Adapter | null> } }
  const info = (await gpu?.requestAdapter().catch(() => null))?.info
  return Boolean(info) && !info!.isFallbackAdapter && info!.architecture !== 'swiftshader'
}

/** Where modules come from, and whether there is a graphics card: others in tests. */
export interface Machine {
  moduleOf(provider: Provider, root: string): Promise<typeof Ort>
  hasGraphics(): Promise<boolean>
  now(): number
}

const modules = new Map<Provider, Promise<typeof Ort>>()

function moduleOf(provider: Provider, root: string): Promise<typeof Ort> {
  if (!modules.has(provider)) modules.set(provider, loaded(provider, root))
  return modules.get(provider)!
}

async function loaded(provider: Provider, root: string): Promise<typeof Ort> {
  // Its own file, not a part of the page: threads are started from it.
  const ort: typeof Ort = await import(/* @vite-ignore */ `${root}${ENGINE}${MODULES[provider]}`)
  ort.env.wasm.wasmPaths = root + ENGINE
  ort.env.wasm.numThreads = threadsHere()
  ort.env.logLevel = 'error'
  return ort
}

const HERE: Machine = { moduleOf, hasGraphics, now: () => performance.now() }

/** A network of one file, and where it runs. */
export class Runtime {
  private readonly sessions = new Map<Provider, Promise<Run>>()
  /** Where somebody wants it to run; null: where it is faster. */
  private wanted: Provider | null = null
  /** Where it was measured to be faster; null: not measured. */
  private faster: Provider | null = null
  private expected = 0
  version = ''
  /** Sentences on how it was chosen where it runs. */
  readonly notes: string[] = []

  constructor(
    private readonly root: string,
    private readonly model: ArrayBuffer,
    private readonly network: Pick<Network, 'input_name' | 'output_name'>,
    private readonly machine: Machine = HERE,
  ) {}

  /** Fetches and starts what is needed for so many runs. */
  async begin(runs: number, wanted: Provider | null): Promise<void> {
    this.expected = runs
    this.wanted = wanted
    this.notes.length = 0
    await this.session(this.chosen ?? 'wasm')
  }

  private get chosen(): Provider | null {
    return this.wanted ?? this.faster
  }

  /** What computes, in words. */
  get told(): string {
    if (this.chosen === 'webgpu') return 'the graphics card (WebGPU)'
    const threads = threadsHere()
    return `WebAssembly, ${threads === 1 ? 'one thread' : `${threads} threads`}`
  }

  readonly run: Run = async (data, shape) => {
    if (!this.chosen) return this.measured(data, shape)
    if (this.chosen === 'wasm') return (await this.session('wasm'))(data, shape)
    try {
      return await (await this.session('webgpu'))(data, shape)
    } catch (error) {
      this.notes.push(`the graphics card failed (${(error as Error).message}): the processor went on`)
      this.wanted = this.faster = 'wasm'
      return (await this.session('wasm'))(data, shape)
    }
  }

  /** Runs the first tile on both, where there are two and it is worth the while, and takes the faster. */
  private async measured(data: Float32Array, shape: number[]): ReturnType<Run> {
    const began = this.machine.now()
    const made = await (await this.session('wasm'))(data, shape)
    const seconds = (this.machine.now() - began) / 1000
    if (this.expected < WORTH_TRYING) return made
    this.faster = 'wasm'
    try {
      if (!(await this.machine.hasGraphics())) return made
      const card = await inTime(this.session('webgpu'))
      await inTime(card(data, shape)) // compiles
      const again = this.machine.now()
      const other = await inTime(card(data, shape))
      const theirs = (this.machine.now() - again) / 1000
      const apart = difference(made.data, other.data)
      const told = `one part took ${theirs.toPrecision(2)} s on the graphics card, ${seconds.toPrecision(2)} s on the processor`
      if (apart > SAME) this.notes.push(`the graphics card gave another picture (by ${apart.toPrecision(2)} of the range)`)
      else {
        this.notes.push(told)
        if (theirs < seconds) this.faster = 'webgpu'
      }
    } catch (error) {
      this.notes.push(`the graphics card was not taken: ${(error as Error).message}`)
    }
    return made
  }

  private session(provider: Provider): Promise<Run> {
    const known = this.sessions.get(provider)
    if (known) return known
    const made = this.opened(provider)
    this.sessions.set(provider, made)
    made.catch(() => this.sessions.delete(provider))
    return made
  }

  private async opened(provider: Provider): Promise<Run> {
    const ort = await this.machine.moduleOf(provider, this.root)
    this.version = ort.env.versions.web ?? ''
    const session = await ort.InferenceSession.create(this.model, {
      executionProviders: [provider],
      graphOptimizationLevel: 'all',
      logSeverityLevel: 3,
    })
    return async (data, shape) => {
      const image = new ort.Tensor('float32', data, shape)
      const made = (await session.run({ [this.network.input_name]: image }))[this.network.output_name]!
      const found = { data: (await made.getData()) as Float32Array, shape: made.dims }
      image.dispose()
      made.dispose()
      return found
    }
  }
}

/** What comes within a time; a card that takes longer is none to compute with. */
function inTime<T>(work: Promise<T>): Promise<T> {
  const late = new Promise<never>((_, reject) => setTimeout(() => reject(new Error('it took too long')), CARD_MS))
  return Promise.race([work, late])
}

/** Largest difference of two results, over the range of the first. */
function difference(one: Float32Array, other: Float32Array): number {
  let [apart, least, greatest] = [0, Infinity, -Infinity]
  for (let at = 0; at < one.length; at++) {
    const value = one[at]!
    apart = Math.max(apart, Math.abs(value - other[at]!))
    if (value < least) least = value
    if (value > greatest) greatest = value
  }
  return Number.isNaN(apart) || one.length !== other.length ? Infinity : apart / (greatest - least || 1)
}
