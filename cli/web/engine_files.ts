import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Plugin } from 'vite'

/** ONNX Runtime's files that a browser fetches: its own, as they come, since threads start from them. */
const FILES = [
  ...['ort.wasm.min.mjs', 'ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm'],
  // With WebGPU; fetched only where a browser has it.
  ...['ort.webgpu.min.mjs', 'ort-wasm-simd-threaded.asyncify.mjs', 'ort-wasm-simd-threaded.asyncify.wasm'],
]

/** Puts ONNX Runtime's files into the folder `engine` beside the page. */
export function engineFiles(): Plugin {
  return {
    name: 'engine-files',
    apply: 'build',
    generateBundle() {
      const from = join(import.meta.dirname, 'node_modules/onnxruntime-web/dist')
      for (const name of FILES)
        this.emitFile({ type: 'asset', fileName: `engine/${name}`, source: readFileSync(join(from, name)) })
    },
  }
}
