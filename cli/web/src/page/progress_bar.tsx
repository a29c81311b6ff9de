import type { Progress } from '../engine/engine'
import { timeText } from './text'

/** How far an image is, how long it takes yet, and a way to stop it. */
export function ProgressBar({ progress, onCancel }: { progress: Progress; onCancel: () => void }) {
  const { share, text, detail } = said(progress)
  return (
    <section class="block progress" aria-label="Progress">
      <p>
        <strong>{text}</strong>
        <span>{detail}</span>
      </p>
      {/* Screen readers hear the bar's own words; the text beside it changes too often. */}
      <progress max={1} value={share ?? undefined} aria-label={detail ? `${text}, ${detail}` : text} />
      <button type="button" onClick={onCancel}>
        Cancel
      </button>
    </section>
  )
}

function said(progress: Progress): { share: number | null; text: string; detail: string } {
  if (progress.state === 'sending')
    return { share: progress.share, text: 'Sending', detail: `${Math.round(progress.share * 100)} %` }
  if (progress.state === 'loading') return { share: progress.share, text: 'Fetching', detail: progress.what }
  if (progress.state === 'lost')
    return { share: null, text: 'The server does not answer', detail: 'the image goes on when it is back' }
  if (progress.state === 'waiting')
    return {
      share: null,
      text: 'Waiting',
      detail: progress.place === null ? '' : progress.place === 0 ? 'next in the queue' : `${progress.place} before it in the queue`,
    }
  const { done, total, unit, secondsLeft } = progress
  if (total === 0) return { share: null, text: 'Restoring', detail: 'loading the model' }
  const left = secondsLeft === null ? '' : ` · ${timeText(secondsLeft)} left`
  return { share: done / total, text: 'Restoring', detail: `${done} of ${total} ${unit}${left}` }
}
