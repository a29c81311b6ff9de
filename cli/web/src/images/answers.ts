/** Answers to the page's requests: images are decoded, cut, compared and counted here, in the worker. */

import { cut } from './cut'
import { difference } from './difference'
import type { Kind, PlaneOf, Requests } from './requests'
import { PlaneCache, section } from './sections'
import { ImageError, type Plane, type ShownPlane, type Stack, type StackFacts } from './stack'
import { greysOf, histogram, percentile, sortedValues, spreadOf } from './statistics'
import { openTiff } from './tiff'

/** Bytes of sections along other axes that are kept: a scrubber goes back and forth. */
const SECTION_BYTES = 128 * 2 ** 20

interface Opened {
  stack: Stack
  sections: PlaneCache
}

type Answers = { [K in Kind]: (given: Requests[K]['given'], signal?: AbortSignal) => Promise<Requests[K]['made']> }

/** All images that are open, and what is asked of them. */
export class ImageAnswers implements Answers {
  private readonly opened = new Map<number, Opened>()
  private count = 0

  async open({ blob, name }: Requests['open']['given'], signal?: AbortSignal) {
    const stack = await openTiff(blob, name)
    // What cannot be decoded is told now.
    await stack.plane(0, 0, 0)
    signal?.throwIfAborted()
    const id = ++this.count
    this.opened.set(id, { stack, sections: new PlaneCache(SECTION_BYTES) })
    return { id, ...factsOf(stack) }
  }

  async close({ stack }: Requests['close']['given']) {
    this.opened.delete(stack)
    return null
  }

  async planes({ before, after, difference: compared }: Requests['planes']['given'], signal?: AbortSignal) {
    const first = await this.plane(before, signal)
    const second = after && (await this.plane(after, signal))
    signal?.throwIfAborted()
    let differs: Requests['planes']['made']['difference'] = null
    if (compared && second) {
      const plane = difference(first, second)
      const most = percentile(sortedValues([plane.data]).map(Math.abs).sort(), 99.8)
      differs = { plane: handedOver(plane), most: most > 0 ? most : 1 }
    }
    return { before: copied(first), after: second && copied(second), difference: differs }
  }

  async spread({ planes }: Requests['spread']['given'], signal?: AbortSignal) {
    const found: Plane[] = []
    for (const at of planes) {
      found.push(await this.plane(at, signal))
      signal?.throwIfAborted()
    }
    return spreadOf(found.map((plane) => plane.data))
  }

  async histogram({ plane, range, steps }: Requests['histogram']['given'], signal?: AbortSignal) {
    const { data } = await this.plane(plane, signal)
    return histogram(data, range, steps)
  }

  async picture({ plane }: Requests['picture']['given'], signal?: AbortSignal) {
    const { data, width, height } = await this.plane(plane, signal)
    return { greys: greysOf(data), width, height }
  }

  cut({ stack, part }: Requests['cut']['given']) {
    return cut(this.named(stack).stack, part)
  }

  private named(id: number): Opened {
    const found = this.opened.get(id)
    if (!found) throw new ImageError('The image is no longer open.', 'Choose it again.')
    return found
  }

  private async plane({ stack: id, ...at }: PlaneOf, signal?: AbortSignal): Promise<Plane> {
    const { stack, sections } = this.named(id)
    if (at.section === 'xy') return section(stack, at)
    const key = `${at.section}/${at.t}/${at.c}/${at.index}`
    for (;;)
      try {
        return await sections.get(key, () => section(stack, at, signal))
      } catch (error) {
        // Another request had begun it, and is no longer wanted; this one is.
        if (signal?.aborted || (error as Error).name !== 'AbortError') throw error
      }
  }
}

function factsOf({ name, bytes, sizes, dtype, sampling, channels, kind }: Stack): StackFacts {
  return { name, bytes, sizes, dtype, sampling, channels, kind }
}

/** A plane of which the page gets its own copy: what is handed over is here no more. */
function copied({ data, width, height }: Plane): ShownPlane {
  return handedOver({ data: data.slice(), width, height })
}

/** A plane with its texture, which goes on to where it is drawn. */
function handedOver(plane: Plane): ShownPlane {
  const { data } = plane
  const fits = data instanceof Uint8Array || data instanceof Uint16Array || data instanceof Float32Array
  return { ...plane, texture: fits ? data.slice() : Float32Array.from(data) }
}

/** Memory that goes over with an answer, in place of being copied. */
export function buffersOf(made: unknown, found = new Set<ArrayBuffer>()): ArrayBuffer[] {
  if (ArrayBuffer.isView(made)) found.add(made.buffer as ArrayBuffer)
  else if (made && Object.getPrototypeOf(made) === Object.prototype) for (const value of Object.values(made)) buffersOf(value, found)
  return [...found]
}
