/** The worker that draws: waits for the GPU are its own, and the page is not held up by them. */

import { Renderer } from './renderer'
import type { DrawOrder, DrawTold } from './painter'

let renderer: Renderer | null = null

addEventListener('message', ({ data }: MessageEvent<DrawOrder>) => {
  try {
    if (data.kind === 'canvas') renderer = new Renderer(data.canvas)
    else if (data.kind === 'plane') renderer?.add(data.id, data.plane)
    else renderer?.draw(data.scene)
  } catch (error) {
    const told: DrawTold = { problem: (error as Error).message }
    postMessage(told)
  }
})
