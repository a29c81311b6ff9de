import { useEffect, useRef, useState } from 'preact/hooks'
import type { About, Engine, Sample } from '../engine/engine'
import { images } from '../images/image_reader'
import { problemOf, useLoaded, type Problem } from './loading'
import { Trouble } from './notice'

interface Props {
  engine: Engine
  about: About
  busy: boolean
  onOpen: (file: File, task?: string, options?: Record<string, string>) => Promise<void>
}

/** What is on the stage before an image is: one real image for each task. */
export function Welcome({ engine, about, busy, onOpen }: Props) {
  const samples = useLoaded(() => engine.samples(), [engine])
  return (
    <div class="welcome">
      <h2>Open a TIFF, or begin with one of these images</h2>
      {samples.problem && <Trouble problem={samples.problem} />}
      <ul>
        {(samples.value ?? []).map((sample) => (
          <Example
            key={sample.task}
            sample={sample}
            title={about.tasks.find((task) => task.name === sample.task)?.title ?? sample.task}
            engine={engine}
            busy={busy}
            onOpen={onOpen}
          />
        ))}
      </ul>
    </div>
  )
}

function Example({ sample, title, engine, busy, onOpen }: Omit<Props, 'about'> & { sample: Sample; title: string }) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const [file, setFile] = useState<File | null>(null)
  const [busyHere, setBusyHere] = useState(false)
  const [problem, setProblem] = useState<Problem | null>(null)
  useEffect(() => {
    if (sample.picture) return
    let wanted = true
    const show = async () => {
      const found = await engine.sample(sample)
      const stack = await images.open(found, found.name)
      const plane = { stack: stack.id, section: 'xy' as const, t: 0, c: 0, index: Math.floor(stack.sizes.z / 2) }
      const { greys, width, height } = await images.ask('picture', { plane }).finally(() => images.close(stack))
      if (!wanted) return
      setFile(found)
      if (canvas.current) paint(canvas.current, new ImageData(greys, width, height))
    }
    show().catch((error) => wanted && setProblem(problemOf(error)))
    return () => {
      wanted = false
    }
  }, [engine, sample])
  async function open() {
    setBusyHere(true)
    try {
      await onOpen(file ?? (await engine.sample(sample)), sample.task, sample.options)
    } catch (error) {
      setProblem(problemOf(error))
    } finally {
      setBusyHere(false)
    }
  }
  return (
    <li>
      <button type="button" disabled={busy || busyHere || (!sample.picture && !file)} title={sample.description} onClick={() => void open()}>
        {sample.picture ? <img src={sample.picture} alt="" loading="lazy" /> : <canvas ref={canvas} width={1} height={1} aria-hidden="true" />}
        <b>{title}</b>
        <span>{sample.name}</span>
        <small>
          {sample.shape.join(' × ')} · {sample.licence}
        </small>
      </button>
      {problem && <Trouble problem={problem} />}
    </li>
  )
}

/** A small picture of 8 bits, which are enough here: the viewer shows all of them. */
function paint(canvas: HTMLCanvasElement, picture: ImageData) {
  canvas.width = picture.width
  canvas.height = picture.height
  canvas.getContext('2d')!.putImageData(picture, 0, 0)
}
