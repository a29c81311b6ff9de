/** Opens a static site: what it tells, and the headers that threads need. */

import { BrowserEngine } from './browser'
import { EngineError } from './engine'
import type { Site } from './site'

export async function openSite(): Promise<BrowserEngine> {
  const site = await facts()
  await isolated(site.id)
  return new BrowserEngine(site)
}

async function facts(): Promise<Site> {
  const answer = await fetch('./site.json').catch(() => null)
  if (!answer?.ok) throw new EngineError('The site’s own facts (site.json) cannot be fetched.')
  const told: Partial<Site> | null = await answer.json().catch(() => null)
  if (told?.format !== 1)
    throw new EngineError('The site’s own facts (site.json) are not what this page reads.', 'Make the site again with `unifmir zoo site`.')
  return told as Site
}

/** How long a service worker is waited for: it has a kilobyte. */
const WAIT_MS = 3000
const TRIED = 'unifmir-isolation'

/**
 * Lets the service worker answer for the host, once: pages that it answers are isolated from others,
 * which browsers ask for before they share memory between threads.
 */
async function isolated(id: string): Promise<void> {
  if (!('serviceWorker' in navigator)) return
  try {
    await navigator.serviceWorker.register(`./service-worker.js?site=${id}`)
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error('late')), WAIT_MS))
    await Promise.race([navigator.serviceWorker.ready, late])
  } catch {
    return // private windows and odd hosts: one thread, and the page says so
  }
  if (crossOriginIsolated || sessionStorage.getItem(TRIED) === id) return
  sessionStorage.setItem(TRIED, id)
  location.reload()
  await new Promise(() => undefined)
}
