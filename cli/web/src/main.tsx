import { render } from 'preact'
import type { Engine } from './engine/engine'
import { App } from './page/app'

/** The engine of the place that the page is served from: a server of ours, or a static site. */
async function engineHere(): Promise<Engine> {
  const told = document.querySelector<HTMLMetaElement>('meta[name="unifmir-engine"]')?.content
  if (told !== 'browser') return new (await import('./engine/server')).ServerEngine()
  return (await import('./engine/opening')).openSite()
}

const page = document.getElementById('page')!
engineHere().then(
  (engine) => render(<App engine={engine} />, page),
  (error: Error) => (page.textContent = `${error.message} Reload the page to try again.`),
)
