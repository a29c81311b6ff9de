/** The page's side of the worker that has the images: whatever goes over all pixels is asked for. */

import type { Asked, Kind, Requests, Told } from './requests'
import { ImageError, type OpenStack, type Part } from './stack'

interface Waiting {
  resolve: (made: never) => void
  reject: (error: unknown) => void
}

class ImageReader {
  private readonly waiting = new Map<number, Waiting>()
  private worker: Worker | null = null
  private count = 0

  /** Opens a TIFF; an ImageError says what is wrong with a file that is none. */
  open(blob: Blob, name: string): Promise<OpenStack> {
    return this.ask('open', { blob, name })
  }

  /** Forgets an image and its planes. */
  close(stack: OpenStack) {
    this.ask('close', { stack: stack.id }).catch(() => undefined)
  }

  /** A part of an image as a file of its own. */
  cut(stack: OpenStack, part: Part): Promise<File> {
    return this.ask('cut', { stack: stack.id, part })
  }

  /** Asks the worker; what is no longer wanted when the signal is aborted is not begun, or ends. */
  ask<K extends Kind>(kind: K, given: Requests[K]['given'], signal?: AbortSignal): Promise<Requests[K]['made']> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      const id = ++this.count
      this.waiting.set(id, { resolve, reject })
      signal?.addEventListener('abort', () => {
        if (this.waiting.delete(id)) this.send({ id, kind: 'cancel' })
        reject(signal.reason)
      })
      this.send({ id, kind, given } as Asked)
    })
  }

  private send(asked: Asked) {
    this.worker ??= this.started()
    this.worker.postMessage(asked)
  }

  private started(): Worker {
    const worker = new Worker(new URL('./image_worker.ts', import.meta.url), { type: 'module' })
    worker.onmessage = ({ data }: MessageEvent<Told>) => {
      const one = this.waiting.get(data.id)
      this.waiting.delete(data.id)
      if ('made' in data) one?.resolve(data.made as never)
      else one?.reject(new ImageError(data.problem.message, data.problem.hint))
    }
    worker.onerror = ({ message }) => {
      const lost = new ImageError(`Images can no longer be read: ${message || 'their part of the page ended'}`, 'Load the page again.')
      for (const { reject } of this.waiting.values()) reject(lost)
      this.waiting.clear()
      this.worker = null
    }
    return worker
  }
}

/** The one reader of the page. */
export const images = new ImageReader()
