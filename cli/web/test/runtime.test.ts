import type * as Ort from 'onnxruntime-web'
import { describe, expect, it } from 'vitest'
import { Runtime, type Machine, type Provider } from '../src/restoration/runtime'

const SHAPE = [1, 1, 2, 3]
const IMAGE = Float32Array.from([1, 2, 3, 4, 5, 6])
const NETWORK = { input_name: 'image', output_name: 'restored' }

interface Card {
  /** Seconds of a run. */
  takes: number
  /** What it adds to the picture. */
  wrong?: number
  fails?: string
}

/** A machine whose processor takes a second for a run, with or without a graphics card. */
function machine(card: Card | null) {
  const used: Provider[] = []
  let time = 0
  const moduleOf = async (provider: Provider) =>
    ({
      env: { versions: { web: '1' } },
      Tensor: class {
        constructor(
          readonly type: string,
          readonly data: Float32Array,
          readonly dims: number[],
        ) {}
        dispose() {}
      },
      InferenceSession: {
        create: async () => ({
          run: async ({ image }: { image: { data: Float32Array; dims: number[] } }) => {
            used.push(provider)
            const own = provider === 'webgpu' ? card! : { takes: 1 }
            if (own.fails && used.length > 3) throw new Error(own.fails)
            time += own.takes * 1000
            const data = image.data.map((value) => 2 * value + (own.wrong ?? 0))
            return { restored: { getData: async () => data, dims: image.dims, dispose() {} } }
          },
        }),
      },
    }) as unknown as typeof Ort
  const made: Machine = { moduleOf, hasGraphics: async () => card !== null, now: () => time }
  return { made, used }
}

async function restored(card: Card | null, runs: number, wanted: Provider | null = null) {
  const { made, used } = machine(card)
  const runtime = new Runtime('', new ArrayBuffer(0), NETWORK, made)
  await runtime.begin(runs, wanted)
  for (let run = 0; run < runs; run++) {
    const { data, shape } = await runtime.run(IMAGE, SHAPE)
    expect(shape).toEqual(SHAPE)
    if (!card?.wrong) expect(Array.from(data)).toEqual([2, 4, 6, 8, 10, 12])
  }
  return { used, runtime }
}

describe('where a network runs', () => {
  it('is the graphics card where that is faster on the first tile', async () => {
    const { used, runtime } = await restored({ takes: 0.25 }, 8)
    expect(used).toEqual(['wasm', 'webgpu', 'webgpu', ...Array(7).fill('webgpu')])
    expect(runtime.told).toBe('the graphics card (WebGPU)')
    expect(runtime.notes).toEqual(['one part took 0.25 s on the graphics card, 1.0 s on the processor'])
  })

  it('is the processor where the card is slower', async () => {
    const { used, runtime } = await restored({ takes: 3 }, 8)
    expect(used).toEqual(['wasm', 'webgpu', 'webgpu', ...Array(7).fill('wasm')])
    expect(runtime.told).toBe('WebAssembly, one thread')
  })

  it('is the processor where the card gives another picture', async () => {
    const { used, runtime } = await restored({ takes: 0.1, wrong: 0.01 }, 8)
    expect(used.filter((one) => one === 'wasm')).toHaveLength(8)
    expect(runtime.notes).toEqual(['the graphics card gave another picture (by 0.0010 of the range)'])
  })

  it('is the processor without a card, and for images of few parts, which are not worth a trial', async () => {
    expect((await restored(null, 8)).used).toEqual(Array(8).fill('wasm'))
    expect((await restored({ takes: 0.1 }, 7)).used).toEqual(Array(7).fill('wasm'))
  })

  it('is what somebody wants', async () => {
    expect((await restored({ takes: 9 }, 8, 'webgpu')).used).toEqual(Array(8).fill('webgpu'))
    expect((await restored({ takes: 0.1 }, 8, 'wasm')).used).toEqual(Array(8).fill('wasm'))
  })

  it('is the processor from where the card fails on, and the image is whole', async () => {
    const { used, runtime } = await restored({ takes: 0.25, fails: 'no memory' }, 8)
    expect(used).toEqual(['wasm', 'webgpu', 'webgpu', 'webgpu', ...Array(7).fill('wasm')])
    expect(runtime.notes.at(-1)).toBe('the graphics card failed (no memory): the processor went on')
    expect(runtime.told).toBe('WebAssembly, one thread')
  })
})
