/** The worker that restores: decoding, scaling, tiles and the network, away from the page's own thread. */

import { ImageError } from '../images/stack'
import { openTiff } from '../images/tiff'
import type { Limits } from '../restoration/geometry'
import { restoreImage, type Wishes } from '../restoration/restore'
import { Runtime, threadsHere, type Provider } from '../restoration/runtime'
import { EngineError, type Settings } from './engine'
import type { Order, Told } from './messages'

/** Memory that a run may take, a part of what the browser says there is: WebAssembly has 4 GB, phones less. */
const RUN_BYTES = ((navigator as { deviceMemory?: number }).deviceMemory ?? 4) * 128 * 2 ** 20
const LITTLE_MEMORY = /memory|allocat|bad_alloc|OOM/i

const tell = (said: Told) => postMessage(said)

let known: { file: string; runtime: Promise<Runtime> } | null = null

addEventListener('message', (event: MessageEvent<Order>) => {
  restore(event.data).then(tell, (error: unknown) => tell(failure(error)))
})

async function restore({ file, settings, network, root }: Order): Promise<Told> {
  const stack = await openTiff(file, file.name)
  if (known?.file !== network.file) known = { file: network.file, runtime: load(root, network) }
  const runtime = await known.runtime.catch((error: unknown) => {
    known = null
    throw error
  })
  let began = 0
  const begin = async (runs: number) => {
    tell({ kind: 'loading', what: 'the engine', share: null })
    await runtime.begin(runs, (settings.runtime as Provider) || null).catch(unstarted)
    began = performance.now()
  }
  const wishes = wishesOf(settings)
  const limits: Limits = { tile: numberOf(settings.tile), bytes: RUN_BYTES }
  const result = await restoreImage(stack, network.facts, runtime.run, wishes, limits, begin, (done, total) => {
    const seconds = (performance.now() - began) / 1000
    tell({ kind: 'running', done, total, secondsLeft: done ? (seconds / done) * (total - done) : null })
  })
  const { pixels, seconds, notes, ...facts } = result.facts
  const rate = pixels / 1e6 / seconds
  const report = {
    input: file.name,
    task: network.facts.task,
    ...facts,
    pixels,
    seconds: Number(seconds.toFixed(3)),
    megapixels_per_second: Number(rate.toPrecision(3)),
    halo: network.facts.halo,
    intensity: wishes.intensity ?? network.facts.intensity,
    ran: {
      model: network.model,
      file: network.file,
      sha256: network.sha256,
      library: 'onnxruntime-web',
      version: runtime.version,
      provider: runtime.told,
      threads: threadsHere(),
    },
    notes: [...notes, ...runtime.notes],
  }
  const speed = `${rate.toPrecision(2)} megapixels a second by ${runtime.told}`
  return { kind: 'done', result: new Blob(result.parts, { type: 'image/tiff' }), report, speed }
}

/** What is said where the engine's own files, or the model's, do not come whole. */
function unstarted(error: unknown): never {
  const message = messageOf(error)
  if (LITTLE_MEMORY.test(message)) throw error
  throw new EngineError(
    `The engine cannot be started in this browser (${message}).`,
    'Look whether the server of this page still runs, and try again; if that does not help, make the site again with `unifmir zoo site`.',
  )
}

async function load(root: string, network: Order['network']): Promise<Runtime> {
  tell({ kind: 'loading', what: 'the model', share: null })
  let answer: Response
  try {
    answer = await fetch(root + network.file)
  } catch {
    throw new EngineError('The model’s file cannot be fetched.', 'Look whether the server of this page still runs.')
  }
  if (!answer.ok) throw new EngineError(`${network.file} is not in this site.`, 'Make the site again with `unifmir zoo site`.')
  return new Runtime(root, await answer.arrayBuffer(), network.facts)
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : null
}

function wishesOf(settings: Settings): Wishes {
  return {
    channel: settings.channel ?? null,
    zFactor: numberOf(settings.z_factor),
    rounded: settings.dtype === 'input',
    intensity: (settings.intensity as Wishes['intensity']) ?? null,
  }
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

function failure(error: unknown): Told {
  if (error instanceof ImageError || error instanceof EngineError)
    return { kind: 'failed', message: error.message, hint: error.hint }
  const message = messageOf(error)
  if (error instanceof RangeError || LITTLE_MEMORY.test(message))
    return {
      kind: 'failed',
      message: `This browser’s memory does not suffice (${message}).`,
      hint: 'Choose smaller tiles, or fewer slices or frames; or use `unifmir restore`.',
    }
  return { kind: 'failed', message: `The image could not be restored: ${message}`, hint: '' }
}
