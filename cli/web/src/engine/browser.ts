/** The engine of a static site: this browser restores, in a worker, and nothing leaves the machine. */

import {
  EngineError,
  type About,
  type Engine,
  type Facts,
  type Model,
  type Progress,
  type Restored,
  type Sample,
  type Settings,
  type Table,
} from './engine'
import { hasGraphics } from '../restoration/runtime'
import type { Order, Told } from './messages'
import type { Site, SiteNetwork } from './site'
import { sampleOf, taskOf } from './told_facts'

export class BrowserEngine implements Engine {
  private worker: Worker | null = null

  constructor(
    private readonly site: Site,
    private readonly root = new URL('./', document.baseURI).href,
  ) {}

  async about(): Promise<About> {
    const cores = navigator.hardwareConcurrency || 1
    const offered = new Set(this.site.networks.map((network) => network.facts.task))
    return {
      place: 'browser',
      version: this.site.version,
      machine: `this browser · ${crossOriginIsolated ? `${cores} cores` : 'one thread'}`,
      tasks: this.site.tasks.filter((task) => offered.has(task.name)).map(taskOf),
      largestBytes: null,
      keepSeconds: null,
      settings: ['z_factor', 'intensity', 'dtype', 'tile', ...((await hasGraphics()) ? ['runtime'] : [])],
    }
  }

  async models(): Promise<Model[]> {
    return this.site.models.map((model) => ({
      ...model,
      measured: model.measured ?? [],
      trials: this.site.networks
        .filter((network) => network.model === model.id)
        .map(({ facts, pictures }) => ({ task: facts.task, pictures })),
    }))
  }

  async model(id: string): Promise<Facts> {
    return this.site.entries[id] ?? null
  }

  async samples(): Promise<Sample[]> {
    const offered = new Set(this.site.networks.map((network) => network.facts.task))
    return this.site.samples.filter((sample) => offered.has(sample.task)).map(sampleOf)
  }

  async sample(sample: Sample): Promise<File> {
    const found = this.site.samples.find((one) => one.task === sample.task)!
    const answer = await fetch(this.root + found.file)
    if (!answer.ok) throw new EngineError('The example cannot be fetched.', 'Look whether the server of this page still runs.')
    return new File([await answer.blob()], `${sample.task}.tif`, { type: 'image/tiff' })
  }

  async benchmarks(): Promise<Table[]> {
    return this.site.benchmarks
  }

  restore(
    file: File,
    settings: Settings,
    onProgress: (progress: Progress) => void,
    signal: AbortSignal,
  ): Promise<Restored> {
    const network = this.networkFor(settings)
    const worker = (this.worker ??= new Worker(new URL('./restoring_worker.ts', import.meta.url), { type: 'module' }))
    return new Promise((resolve, reject) => {
      const end = () => {
        signal.removeEventListener('abort', cancel)
        worker.onmessage = worker.onerror = null
      }
      // A run cannot be interrupted: its worker ends, and the next image gets a new one.
      const stop = (reason: unknown) => {
        end()
        worker.terminate()
        this.worker = null
        reject(reason)
      }
      const cancel = () => stop(signal.reason)
      worker.onmessage = ({ data: told }: MessageEvent<Told>) => {
        if (told.kind === 'loading') onProgress({ state: 'loading', what: told.what, share: told.share })
        else if (told.kind === 'running') onProgress({ state: 'running', unit: 'parts', ...told })
        else if (told.kind === 'done') {
          end()
          resolve(restored(file, network, told))
        }
        // What failed may have left it without memory, or with half an engine.
        else stop(new EngineError(told.message, told.hint))
      }
      worker.onerror = (event) => {
        event.preventDefault()
        stop(new EngineError('What restores in this browser ended.', 'Choose smaller tiles or fewer slices; the browser’s console says more.'))
      }
      signal.addEventListener('abort', cancel, { once: true })
      if (signal.aborted) return cancel()
      worker.postMessage({ file, settings, network, root: this.root } satisfies Order)
    })
  }

  private networkFor(settings: Settings): SiteNetwork {
    const fitting = this.site.networks.filter((network) => network.facts.task === settings.task)
    const found = settings.model ? fitting.find((network) => network.model === settings.model) : fitting[0]
    if (found) return found
    throw new EngineError('No model of this site is for that task.', 'Choose another model or task.')
  }
}

function restored(file: File, network: SiteNetwork, told: Told & { kind: 'done' }): Restored {
  const { task } = network.facts
  return {
    name: `${file.name.replace(/(\.ome)?\.tiff?$/i, '')}.${task}.tif`,
    bytes: told.result.size,
    task,
    model: network.model,
    speed: told.speed,
    image: async () => told.result,
    report: async () => told.report as Facts,
  }
}
