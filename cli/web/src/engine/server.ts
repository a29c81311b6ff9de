/** The engine that asks `unifmir serve`: uploads, server-sent progress, downloads. */

import {
  EngineError,
  type About,
  type Engine,
  type Facts,
  type Job,
  type Jobs,
  type Model,
  type Progress,
  type Restored,
  type Sample,
  type Settings,
  type Table,
} from './engine'
import { ServerAccess } from './server_access'
import { sampleOf, taskOf, type ToldSample, type ToldTask } from './told_facts'

interface ServerJob {
  id: string
  state: Job['state']
  task: string
  model: string | null
  settings?: { channel?: number | null }
  input: { name: string; bytes: number }
  place: number | null
  progress: { done: number; total: number | null; unit: string; seconds_left: number | null } | null
  created: string | number
  error: { message: string; hint: string | null } | null
  result: { name: string; bytes: number } | null
}

interface ServerAbout {
  version: string
  machine: { cores: number; memory_bytes: number; gpu?: string | null }
  limits: { upload_bytes: number; keep_seconds: number }
  tasks?: ToldTask[]
}

/** Time until a server that does not answer is asked again. */
const AGAIN_MS = 2000

class LostError extends EngineError {
  constructor() {
    super(
      'The server does not answer.',
      'Look whether `unifmir serve` still runs; images that were handed over go on when it is back.',
    )
  }
}

export class ServerEngine implements Engine {
  readonly jobs: Jobs
  readonly access: ServerAccess

  constructor(private readonly root = new URL('api/', document.baseURI).href) {
    this.access = new ServerAccess(root)
    this.jobs = {
      list: async () => (await this.json<ServerJob[]>('jobs')).map(shown),
      input: async (job) => new File([await this.blob(`jobs/${job.id}/input`)], job.name),
      follow: (job, onProgress, signal) => this.follow(job.id, onProgress, signal),
      remove: async (job) => void (await this.ask(`jobs/${job.id}`, { method: 'DELETE' })),
    }
  }

  async about(): Promise<About> {
    const said = await this.json<ServerAbout>('about')
    const gb = Math.round(said.machine.memory_bytes / 2 ** 30)
    const parts = [`${said.machine.cores} cores`, `${gb} GB`, said.machine.gpu || 'no GPU']
    return {
      place: 'server',
      version: said.version,
      machine: parts.join(' · '),
      tasks: (said.tasks ?? []).map(taskOf),
      largestBytes: said.limits.upload_bytes,
      keepSeconds: said.limits.keep_seconds,
      settings: ['z_factor', 'lens_pitch', 'planes', 'intensity', 'dtype', 'precision', 'tile', 'fast'],
    }
  }

  async models(): Promise<Model[]> {
    type Said = Omit<Model, 'measured'> & { measured?: Model['measured'] }
    const said = await this.json<Said[]>('models')
    return said.map((model) => ({ ...model, measured: model.measured ?? [] }))
  }

  model(id: string): Promise<Facts> {
    return this.json(`models/${encodeURIComponent(id)}`)
  }

  async samples(): Promise<Sample[]> {
    return (await this.json<ToldSample[]>('samples')).map(sampleOf)
  }

  async sample(sample: Sample): Promise<File> {
    const blob = await this.blob(`samples/${encodeURIComponent(sample.task)}`)
    return new File([blob], `${sample.task}.tif`, { type: 'image/tiff' })
  }

  benchmarks(): Promise<Table[]> {
    return this.json('benchmarks')
  }

  async restore(
    file: File,
    settings: Settings,
    onProgress: (progress: Progress) => void,
    signal: AbortSignal,
  ): Promise<Restored> {
    const form = new FormData()
    // Before the file, so that settings can be refused while gigabytes are still on their way.
    form.append('settings', JSON.stringify(settings))
    form.append('image', file, file.name)
    onProgress({ state: 'sending', share: 0 })
    // Whoever has to sign in does so before gigabytes are on their way.
    await this.ask('jobs')
    const job = await this.send(form, (share) => onProgress({ state: 'sending', share }), signal)
    return this.follow(job.id, onProgress, signal)
  }

  /** Uploads by XMLHttpRequest: fetch does not tell how much has been sent. */
  private send(form: FormData, onShare: (share: number) => void, signal: AbortSignal): Promise<ServerJob> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const request = new XMLHttpRequest()
      const stop = () => {
        request.abort()
        reject(signal.reason)
      }
      signal.addEventListener('abort', stop, { once: true })
      request.upload.onprogress = (event) => event.total && onShare(event.loaded / event.total)
      request.onerror = () => reject(new LostError())
      request.onload = () => {
        signal.removeEventListener('abort', stop)
        const said = parsed(request.responseText)
        if (request.status === 202) resolve(said as unknown as ServerJob)
        else reject(refusal(said, request.status))
      }
      request.open('POST', `${this.root}restore`)
      request.send(form)
    })
  }

  /** Waits for the end of a job, also over a server that ends and comes back. */
  private follow(
    id: string,
    onProgress: (progress: Progress) => void,
    signal: AbortSignal,
  ): Promise<Restored> {
    return new Promise((resolve, reject) => {
      let events: EventSource
      let again = 0
      const end = () => {
        events.close()
        clearTimeout(again)
        signal.removeEventListener('abort', cancel)
      }
      const cancel = () => {
        end()
        this.ask(`jobs/${id}`, { method: 'DELETE' }).catch(() => undefined)
        reject(signal.reason)
      }
      const take = (job: ServerJob) => {
        const now = progressOf(job)
        if (now) return onProgress(now)
        end()
        if (job.state === 'done') resolve(this.restored(job))
        else if (job.state === 'cancelled') reject(new EngineError('The image was cancelled.'))
        else reject(new EngineError(job.error?.message ?? 'The image could not be restored.', job.error?.hint ?? ''))
      }
      const listen = () => {
        events = new EventSource(`${this.root}jobs/${id}/events`)
        events.addEventListener('job', (event) => take(JSON.parse((event as MessageEvent).data)))
        events.onerror = () => {
          onProgress({ state: 'lost' })
          // The browser connects again by itself, unless the server has refused: then the job tells why.
          if (events.readyState === EventSource.CLOSED) again = window.setTimeout(look, AGAIN_MS)
        }
      }
      const look = async () => {
        try {
          const job = await this.json<ServerJob>(`jobs/${id}`)
          if (signal.aborted) return
          take(job)
          if (progressOf(job)) listen()
        } catch (error) {
          if (signal.aborted) return
          if (error instanceof LostError) again = window.setTimeout(look, AGAIN_MS)
          else {
            end()
            reject(error)
          }
        }
      }
      listen()
      signal.addEventListener('abort', cancel, { once: true })
      if (signal.aborted) cancel()
    })
  }

  private restored(job: ServerJob): Restored {
    const at = `jobs/${job.id}`
    return {
      name: job.result?.name ?? 'result.tif',
      bytes: job.result?.bytes ?? 0,
      task: job.task,
      model: job.model ?? '',
      image: () => this.blob(`${at}/result`),
      report: () => this.json(`${at}/report`),
    }
  }

  private async ask(path: string, options: RequestInit = {}): Promise<Response> {
    for (;;) {
      let answer: Response
      try {
        answer = await fetch(this.root + path, options)
      } catch {
        throw new LostError()
      }
      if (answer.ok) return answer
      if (answer.status !== 401) throw refusal(parsed(await answer.text()), answer.status)
      await this.access.wait()
    }
  }

  private async json<T>(path: string): Promise<T> {
    return (await this.ask(path)).json() as Promise<T>
  }

  private async blob(path: string): Promise<Blob> {
    return (await this.ask(path)).blob()
  }
}

function shown(job: ServerJob): Job {
  return {
    id: job.id,
    state: job.state,
    task: job.task,
    model: job.model ?? '',
    name: job.input.name,
    created: typeof job.created === 'number' ? new Date(job.created * 1000).toISOString() : job.created,
    message: job.error?.message ?? '',
    channel: job.settings?.channel ?? null,
  }
}

/** How far a job is; null for one that has ended. */
function progressOf(job: ServerJob): Progress | null {
  if (job.state === 'waiting') return { state: 'waiting', place: job.place }
  if (job.state !== 'running') return null
  const { done = 0, total = null, unit = 'tiles', seconds_left = null } = job.progress ?? {}
  return { state: 'running', done, total: total ?? 0, unit, secondsLeft: seconds_left }
}

function parsed(text: string): Facts {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function refusal(said: Facts, status: number): EngineError {
  const error = (said as { error?: { message?: string; hint?: string } } | null)?.error
  if (error?.message) return new EngineError(error.message, error.hint ?? '')
  if (status === 413) return new EngineError('The image is larger than this server takes.', 'Choose fewer slices or frames.')
  return new EngineError(`The server answered with status ${status}.`, 'Try again; the server’s own output says more.')
}
