import { useState } from 'preact/hooks'
import type { Job, Jobs } from '../engine/engine'
import { useLoaded } from './loading'

const WORDS: Record<Job['state'], string> = {
  waiting: 'waiting',
  running: 'running',
  done: 'done',
  failed: 'failed',
  cancelled: 'cancelled',
}

/** Images of this browser's earlier visits, to be opened again or deleted. */
export function JobList({ jobs, visits, busy, onOpen }: { jobs: Jobs; visits: number; busy: boolean; onOpen: (job: Job) => void }) {
  const [removed, setRemoved] = useState(0)
  const list = useLoaded(() => jobs.list(), [jobs, visits, removed])
  const found = list.value ?? []
  if (found.length === 0) return null
  return (
    <details class="block jobs">
      <summary>
        Earlier images <span class="count">{found.length}</span>
      </summary>
      <ul>
        {found.map((job) => (
          <li key={job.id}>
            <button type="button" class="choice" disabled={busy || job.state === 'failed' || job.state === 'cancelled'} onClick={() => onOpen(job)}>
              <b>{job.name}</b>
              <span>
                {job.task} · {WORDS[job.state]}
                {job.message && ` · ${job.message}`}
              </span>
            </button>
            <button
              type="button"
              class="plain"
              disabled={busy}
              aria-label={`Delete ${job.name}`}
              onClick={() => void jobs.remove(job).finally(() => setRemoved((count) => count + 1))}
            >
              Delete
            </button>
          </li>
        ))}
      </ul>
    </details>
  )
}
