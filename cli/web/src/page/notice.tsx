import type { ComponentChildren } from 'preact'
import type { Problem } from './loading'

/** What went wrong and what to do, said by screen readers as soon as it is there. */
export function Trouble({ problem, onClose }: { problem: Problem; onClose?: () => void }) {
  return (
    <div class="trouble" role="alert">
      <p>
        <strong>{problem.message}</strong>
      </p>
      {problem.hint && <p>{problem.hint}</p>}
      {onClose && (
        <button type="button" class="plain" onClick={onClose}>
          Close
        </button>
      )}
    </div>
  )
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>
}
