/** Writes the images of the tests by tifffile, with what they hold, before the tests run. */

import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'

export default function setup(project: TestProject) {
  const root = join(import.meta.dirname, '../../..')
  const own = join(root, '.venv/bin/python')
  const python = process.env.PYTHON ?? (existsSync(own) ? own : 'python3')
  const folder = mkdtempSync(join(tmpdir(), 'unifmir-web-'))
  execFileSync(python, ['-m', 'tests.helpers.browser_images', folder], { cwd: root, stdio: 'inherit' })
  project.provide('folder', folder)
  return () => rmSync(folder, { recursive: true })
}

declare module 'vitest' {
  export interface ProvidedContext {
    folder: string
  }
}
