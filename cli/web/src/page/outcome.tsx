import { useEffect, useMemo } from 'preact/hooks'
import { shapeText } from '../images/stack'
import { FactList } from './facts'
import type { Finished } from './restore_page'
import { bytesText } from './text'

/** The result: what it is, its file, and how it was made. */
export function Outcome({ finished }: { finished: Finished }) {
  const { restored, after, report } = finished
  return (
    <section class="block outcome" aria-labelledby="result-title">
      <h2 id="result-title">Result</h2>
      <p role="status">
        {shapeText(after.sizes)}, {after.dtype}, by <code>{restored.model || 'the chosen model'}</code>
        {restored.speed && <span class="speed">, {restored.speed}</span>}
      </p>
      <div class="buttons">
        <Download make={restored.image} name={restored.name} main>
          Download TIFF <small>{bytesText(restored.bytes || after.bytes)}</small>
        </Download>
        {report !== null && (
          <Download
            make={async () => new Blob([JSON.stringify(report, null, 2)], { type: 'application/json' })}
            name={restored.name.replace(/(\.ome)?\.tiff?$/i, '') + '.json'}
          >
            Report
          </Download>
        )}
      </div>
      {report !== null && (
        <details>
          <summary>How it was made</summary>
          <FactList facts={report} />
        </details>
      )}
    </section>
  )
}

function Download({ make, name, main, children }: { make: () => Promise<Blob>; name: string; main?: boolean; children: preact.ComponentChildren }) {
  const made = useMemo(() => ({ href: '' }), [make])
  useEffect(() => () => URL.revokeObjectURL(made.href), [made])
  async function save() {
    made.href ||= URL.createObjectURL(await make())
    const link = document.createElement('a')
    link.href = made.href
    link.download = name
    link.click()
  }
  return (
    <button type="button" class={main ? 'main' : undefined} onClick={() => void save()}>
      {children}
    </button>
  )
}
