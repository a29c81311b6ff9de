import { useRef } from 'preact/hooks'
import type { About } from '../engine/engine'
import { shapeText } from '../images/stack'
import type { Opened } from './restore_page'
import { bytesText, numberText, timeText } from './text'

interface Props {
  about: About
  opened: Opened | null
  busy: boolean
  onOpen: (file: File) => Promise<void>
  onClose: () => void
}

/** A file of the user's, and what the open one is. */
export function ImageChooser({ about, opened, busy, onOpen, onClose }: Props) {
  const input = useRef<HTMLInputElement>(null)
  return (
    <section class="block" aria-labelledby="image-title">
      <h2 id="image-title">Image</h2>
      {opened && <ImageFacts opened={opened} />}
      <button type="button" class="drop" disabled={busy} onClick={() => input.current?.click()} aria-describedby="image-kinds">
        {opened ? 'Open another TIFF' : 'Open a TIFF'}
        <span>or drop it anywhere on this page</span>
      </button>
      <input
        ref={input}
        type="file"
        accept=".tif,.tiff,image/tiff"
        class="hidden"
        tabIndex={-1}
        aria-label="TIFF file"
        onChange={(event) => {
          const file = event.currentTarget.files?.[0]
          event.currentTarget.value = ''
          if (file) void onOpen(file)
        }}
      />
      {opened && (
        <button type="button" class="plain start" disabled={busy} onClick={onClose}>
          Back to the examples
        </button>
      )}
      <p class="note" id="image-kinds" hidden={opened !== null}>
        2D, stacks, time and channels; 8, 16 or 32 bit, or float
        {about.largestBytes !== null && `; up to ${bytesText(about.largestBytes)}`}.
        {about.place === 'browser' && ' It stays on this machine: this browser restores it.'}
        {about.keepSeconds !== null && ` Only this browser sees it here; deleted after ${timeText(about.keepSeconds)}.`}
      </p>
    </section>
  )
}

function ImageFacts({ opened }: { opened: Opened }) {
  const { stack } = opened
  const { x, z } = stack.sampling
  return (
    <dl class="short">
      <div>
        <dt>File</dt>
        <dd class="file" title={stack.name}>
          {stack.name}
        </dd>
      </div>
      <div>
        <dt>Pixels</dt>
        <dd>{shapeText(stack.sizes)}</dd>
      </div>
      <div>
        <dt>Type</dt>
        <dd>
          {stack.dtype}, {stack.kind}, {bytesText(stack.bytes)}
        </dd>
      </div>
      <div>
        <dt>Pixel size</dt>
        <dd>
          {x ? `${numberText(x)} µm` : 'not in the file'}
          {z && stack.sizes.z > 1 ? `, z step ${numberText(z)} µm` : ''}
        </dd>
      </div>
    </dl>
  )
}
