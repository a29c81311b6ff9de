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

/** Words in which what stands between backticks is code. */
export function Words({ text }: { text: string }) {
  return <>{text.split('`').map((part, index) => (index % 2 ? <code key={index}>{part}</code> : part))}</>
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>
}
