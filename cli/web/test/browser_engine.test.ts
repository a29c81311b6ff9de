import { afterEach, expect, test, vi } from 'vitest'
import { BrowserEngine } from '../src/engine/browser'
import type { Site } from '../src/engine/site'

/** A worker that was started, and what the page listens to. */
class OwnWorker {
  static readonly started: OwnWorker[] = []
  onmessage: ((event: { data: unknown }) => void) | null = null
  onerror: ((event: { preventDefault(): void }) => void) | null = null
  ended = false
  constructor() {
    OwnWorker.started.push(this)
  }
  postMessage() {}
  terminate() {
    this.ended = true
  }
}

const SITE = { networks: [{ model: 'own', facts: { task: 'sr' } }] } as unknown as Site

afterEach(() => vi.unstubAllGlobals())

test('a worker that crashes is told as such, and the next image gets a new one', async () => {
  vi.stubGlobal('Worker', OwnWorker)
  const engine = new BrowserEngine(SITE, 'http://here/')
  const ask = () => engine.restore(new File([], 'a.tif'), { task: 'sr' }, () => undefined, new AbortController().signal)
  const first = ask()
  OwnWorker.started[0]!.onerror!({ preventDefault: () => undefined })
  await expect(first).rejects.toThrow('What restores in this browser ended.')
  expect(OwnWorker.started[0]!.ended).toBe(true)
  void ask().catch(() => undefined)
  expect(OwnWorker.started).toHaveLength(2)
})

test('a worker that failed is not asked again', async () => {
  vi.stubGlobal('Worker', OwnWorker)
  const engine = new BrowserEngine(SITE, 'http://here/')
  const ask = () => engine.restore(new File([], 'a.tif'), { task: 'sr' }, () => undefined, new AbortController().signal)
  const before = OwnWorker.started.length
  const first = ask()
  OwnWorker.started[before]!.onmessage!({ data: { kind: 'failed', message: 'no memory', hint: 'less' } })
  await expect(first).rejects.toMatchObject({ message: 'no memory', hint: 'less' })
  expect(OwnWorker.started[before]!.ended).toBe(true)
  void ask().catch(() => undefined)
  expect(OwnWorker.started).toHaveLength(before + 2)
})

test('cancelling throws its reason', async () => {
  vi.stubGlobal('Worker', OwnWorker)
  const stop = new AbortController()
  const engine = new BrowserEngine(SITE, 'http://here/')
  const asked = engine.restore(new File([], 'a.tif'), { task: 'sr' }, () => undefined, stop.signal)
  stop.abort(new Error('enough'))
  await expect(asked).rejects.toThrow('enough')
})
