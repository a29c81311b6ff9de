import { useEffect, useState } from 'preact/hooks'
import type { Engine } from '../engine/engine'
import { BenchmarkPage } from './benchmark_page'
import { useLoaded } from './loading'
import { ModelPage } from './model_page'
import { Trouble } from './notice'
import { RestorePage } from './restore_page'
import { SignIn } from './sign_in'
import { ThemeSwitch } from './theme'

const PAGES = { restore: 'Restore', models: 'Models', benchmarks: 'Benchmarks' } as const
type Page = keyof typeof PAGES

function wanted(): Page {
  const name = location.hash.slice(1).split('/')[0]
  return name && name in PAGES ? (name as Page) : 'restore'
}

export function App({ engine }: { engine: Engine }) {
  const [page, setPage] = useState<Page>(wanted)
  const about = useLoaded(() => engine.about(), [engine])
  useEffect(() => {
    const follow = () => setPage(wanted())
    addEventListener('hashchange', follow)
    follow() // it may have changed since the page was drawn
    return () => removeEventListener('hashchange', follow)
  }, [])
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), document.getElementById('main')?.focus())}>
        Skip to the content
      </a>
      <header class="top">
        <a class="name" href="#restore">
          unifmir
        </a>
        <nav aria-label="Pages">
          {Object.entries(PAGES).map(([name, title]) => (
            <a key={name} href={`#${name}`} aria-current={page === name ? 'page' : undefined}>
              {title}
            </a>
          ))}
        </nav>
        <span class="machine" title="Where images are computed">
          {about.value && `${about.value.machine} · ${about.value.version}`}
        </span>
        <ThemeSwitch />
      </header>
      {engine.access && <SignIn access={engine.access} />}
      <main id="main" tabIndex={-1}>
        {about.problem && <Trouble problem={about.problem} />}
        {about.value && (
          <>
            {/* Kept while other pages are read: a job may run, and a picture be open. */}
            <div hidden={page !== 'restore'} class="fill">
              <RestorePage engine={engine} about={about.value} shown={page === 'restore'} />
            </div>
            {page === 'models' && <ModelPage engine={engine} about={about.value} />}
            {page === 'benchmarks' && <BenchmarkPage engine={engine} place={about.value.place} tasks={about.value.tasks} />}
          </>
        )}
      </main>
    </>
  )
}
