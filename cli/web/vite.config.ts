/// <reference types="vitest/config" />
import { defineConfig } from 'vite'
import { licences } from './licences.ts'

export default defineConfig({
  // The page may lie in any folder of any server: addresses are relative.
  base: './',
  plugins: [licences()],
  build: { target: 'es2022', assetsInlineLimit: 0, reportCompressedSize: true },
  server: { proxy: { '/api': 'http://127.0.0.1:8600' } },
  test: { globalSetup: './test/images.ts' },
})
