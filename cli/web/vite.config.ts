/// <reference types="vitest/config" />
import { defineConfig } from 'vite'
import { engineFiles } from './engine_files.ts'
import { copied, licences, noted, type Found } from './licences.ts'

const found: Found = new Map()
copied(found, ['onnxruntime-web'])

export default defineConfig({
  // The page may lie in any folder of any server: addresses are relative.
  base: './',
  plugins: [noted(found), licences(found), engineFiles()],
  // Decoders of TIFF are loaded where a file needs them, which only modules can.
  worker: { format: 'es', plugins: () => [noted(found)] },
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    reportCompressedSize: true,
    rollupOptions: {
      input: { index: 'index.html', 'service-worker': 'src/engine/service_worker.ts' },
      // A service worker answers for its own folder and those below: it lies beside the page.
      output: { entryFileNames: ({ name }) => (name === 'service-worker' ? '[name].js' : 'assets/[name]-[hash].js') },
    },
  },
  server: { proxy: { '/api': 'http://127.0.0.1:8600' } },
  test: { globalSetup: './test/images.ts' },
})
