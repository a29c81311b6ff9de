/** The worker that has the images: takes requests, and drops those that are no longer wanted. */

import { buffersOf, ImageAnswers } from './answers'
import type { Asked, Kind, Requests, Told } from './requests'

const answers = new ImageAnswers()
const running = new Map<number, AbortController>()

addEventListener('message', ({ data }: MessageEvent<Asked>) => {
  if (data.kind === 'cancel') running.get(data.id)?.abort()
  else void answer(data.id, data.kind, data.given)
})

async function answer<K extends Kind>(id: number, kind: K, given: Requests[K]['given']) {
  const stop = new AbortController()
  running.set(id, stop)
  try {
    // What has come meanwhile is heard first: it may be that this is no longer wanted.
    await new Promise((resolve) => setTimeout(resolve))
    stop.signal.throwIfAborted()
    const work = answers[kind] as unknown as (given: Requests[K]['given'], signal: AbortSignal) => Promise<Requests[K]['made']>
    const made = await work.call(answers, given, stop.signal)
    if (!stop.signal.aborted) tell({ id, made }, buffersOf(made))
  } catch (error) {
    const { message, hint } = error as { message?: string; hint?: string }
    if (!stop.signal.aborted) tell({ id, problem: { message: message ?? String(error), hint: hint ?? '' } })
  } finally {
    running.delete(id)
  }
}

function tell(told: Told, transfer: ArrayBuffer[] = []) {
  postMessage(told, { transfer })
}
