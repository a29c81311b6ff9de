import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Plugin } from 'vite'

/** The words of every package whose code is in the page, by the package's folder. */
export type Found = Map<string, string>

/** Notes packages whose files are copied as they are. */
export function copied(found: Found, names: string[]) {
  for (const folder of names.map((name) => join(import.meta.dirname, 'node_modules', name))) found.set(folder, words(folder))
}

/**
 * Notes the packages of a bundle: of the page's own, or of a worker, which is a bundle by itself.
 *
 * Their words lie in `licences/` where the package itself comes without them.
 */
export function noted(found: Found): Plugin {
  return {
    name: 'noted-licences',
    apply: 'build',
    generateBundle(_, bundle) {
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== 'chunk') continue
        for (const module of Object.keys(chunk.modules)) {
          const folder = /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(module)?.[1]
          if (folder && !found.has(folder)) found.set(folder, words(folder))
        }
      }
    },
  }
}

/** Puts licences.txt beside the page, after everything in it was noted. */
export function licences(found: Found): Plugin {
  return {
    name: 'licences',
    apply: 'build',
    generateBundle() {
      const source = [...found.values()].sort().join('\n\n' + '-'.repeat(72) + '\n\n')
      this.emitFile({ type: 'asset', fileName: 'licences.txt', source })
    },
  }
}

function words(folder: string): string {
  const about = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const file = readdirSync(folder).find((name) => /^(licen[cs]e|copying)/i.test(name))
  const own = join(import.meta.dirname, 'licences', `${about.name}.txt`)
  const text = [file ? join(folder, file) : '', own].filter(existsSync).map((path) => readFileSync(path, 'utf8')).join('\n')
  if (!about.license && !text) throw new Error(`${about.name}: no licence found`)
  return `${about.name} ${about.version}, ${about.license}\n\n${text}`.trim()
}
