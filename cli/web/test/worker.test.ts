import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, inject, it } from 'vitest'
import { buffersOf, ImageAnswers } from '../src/images/answers'
import { PlaneCache } from '../src/images/sections'

const folder = inject('folder')
const file = (name: string) => new Blob([readFileSync(join(folder, `${name}.tif`))])
const at = (stack: number, section: 'xy' | 'xz' | 'yz', index: number) => ({ stack, section, t: 0, c: 0, index })

describe('the worker', () => {
  it('opens images, and hands out what they are and planes in their own numbers', async () => {
    const answers = new ImageAnswers()
    const stack = await answers.open({ blob: file('imagej'), name: 'imagej.tif' })
    expect([stack.dtype, stack.sizes]).toEqual(['uint16', { t: 3, c: 2, z: 4, y: 37, x: 21 }])
    const { before, after, difference } = await answers.planes({ before: at(stack.id, 'xz', 11), after: null, difference: false })
    expect([before.width, before.height, after, difference]).toEqual([21, 4, null, null])
    expect(before.data).toBeInstanceOf(Uint16Array)
    expect(before.texture).toEqual(before.data)
  })

  it('hands out copies: what went over to the page is still here', async () => {
    const answers = new ImageAnswers()
    const { id } = await answers.open({ blob: file('plain16'), name: 'a.tif' })
    const asked = { before: at(id, 'xy', 0), after: at(id, 'xy', 0), difference: true }
    const first = await answers.planes(asked)
    const buffers = buffersOf(first)
    // Two planes and a difference, each with its texture.
    expect(buffers.length).toBe(6)
    const sum = Array.from(first.before.data).reduce((total, value) => total + value, 0)
    structuredClone(first, { transfer: buffers })
    const again = await answers.planes(asked)
    expect(Array.from(again.before.data).reduce((total, value) => total + value, 0)).toBe(sum)
    expect(again.difference!.plane.data.every((value) => value === 0)).toBe(true)
  })

  it('gives numbers that no texture takes as float beside themselves', async () => {
    const answers = new ImageAnswers()
    const { id } = await answers.open({ blob: file('signed'), name: 'a.tif' })
    const { before } = await answers.planes({ before: at(id, 'xy', 0), after: null, difference: false })
    expect(before.data).toBeInstanceOf(Int16Array)
    expect(before.texture).toBeInstanceOf(Float32Array)
    expect(Array.from(before.texture)).toEqual(Array.from(before.data))
  })

  it('ends what is no longer wanted, and not what another still wants', async () => {
    const answers = new ImageAnswers()
    const { id } = await answers.open({ blob: file('lzw'), name: 'a.tif' })
    const asked = { before: at(id, 'yz', 3), after: null, difference: false }
    const stop = new AbortController()
    const stale = answers.planes(asked, stop.signal)
    const wanted = answers.planes(asked)
    stop.abort()
    await expect(stale).rejects.toThrow(/abort/i)
    expect((await wanted).before.height).toBe(4)
  })

  it('says what is no longer open', async () => {
    const answers = new ImageAnswers()
    const { id } = await answers.open({ blob: file('plain8'), name: 'a.tif' })
    await answers.close({ stack: id })
    await expect(answers.spread({ planes: [at(id, 'xy', 0)] })).rejects.toThrow('no longer open')
  })

  it('keeps planes up to its limit alone', async () => {
    let read = 0
    const cache = new PlaneCache(100)
    const get = (key: string) => cache.get(key, async () => (read++, { data: new Uint8Array(40), width: 40, height: 1 }))
    for (const key of ['a', 'b', 'c', 'b', 'c', 'a']) await get(key)
    expect(read).toBe(4)
  })
})

describe('the page', () => {
  const source = join(import.meta.dirname, '../src')

  /** Modules that run where this one does: types are gone by then, and a worker is started by its address. */
  function together(module: string, found = new Map<string, string>()): Map<string, string> {
    if (found.has(module)) return found
    const text = readFileSync(module, 'utf8')
    found.set(module, text)
    for (const [, names, path] of text.matchAll(/^import (?!type )(?:([\s\S]*?) from )?'([^']+)'/gm)) {
      const listed = /^\{([\s\S]*)\}$/.exec(names ?? '')?.[1]?.split(',').map((name) => name.trim()).filter(Boolean)
      if (!listed?.every((name) => name.startsWith('type '))) follow(module, path!, found)
    }
    for (const [, path] of text.matchAll(/\bimport\('([^']+)'\)/g)) follow(module, path!, found)
    return found
  }

  function follow(module: string, path: string, found: Map<string, string>) {
    if (!path.startsWith('.')) return void found.set(path, '')
    const base = join(dirname(module), path)
    const [name] = readdirSync(dirname(base)).filter((one) => [`${base}.ts`, `${base}.tsx`].includes(join(dirname(base), one)))
    if (name) together(join(dirname(base), name), found)
  }

  it('has no part of what goes over pixels: that is in the worker', () => {
    const page = together(join(source, 'main.tsx'))
    const worker = together(join(source, 'images/image_worker.ts'))
    const inside = (modules: Map<string, string>) => [...modules.keys()].filter((path) => path.startsWith(join(source, 'images'))).map((path) => path.slice(source.length + 8)).sort()
    for (const name of ['tiff', 'sections', 'difference', 'statistics', 'cut', 'answers']) {
      expect(inside(worker)).toContain(`${name}.ts`)
      expect(inside(page)).not.toContain(`${name}.ts`)
    }
    expect(page.has(join(source, 'viewer/renderer.ts'))).toBe(false)
    expect(worker.has('geotiff')).toBe(true)
    expect(page.has('geotiff')).toBe(false)
  })

  it('reads single pixels of planes in two places: under the pointer, and along a line', () => {
    const page = together(join(source, 'main.tsx'))
    const reading = [...page].filter(([, text]) => /\bdata\[|\bdata\.(map|reduce|forEach|slice|sort)|texture\[/.test(text)).map(([path]) => path.slice(source.length + 1))
    expect(reading.sort()).toEqual(['images/profile.ts', 'viewer/readout.ts'])
  })
})
