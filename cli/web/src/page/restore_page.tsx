import { useEffect, useRef, useState } from 'preact/hooks'
import { EngineError, type About, type Engine, type Facts, type Job, type Model, type Progress, type Restored } from '../engine/engine'
import { images } from '../images/image_reader'
import { isWhole, type OpenStack } from '../images/stack'
import { Viewer } from '../viewer/viewer'
import { ImageChooser } from './image_chooser'
import { JobList } from './job_list'
import { useLoaded, problemOf, type Problem } from './loading'
import { Trouble } from './notice'
import { bytesText } from './text'
import { ProgressBar } from './progress_bar'
import { Outcome } from './outcome'
import { Welcome } from './welcome'
import { chosenSettings, fresh, SettingsForm, type Choice } from './settings_form'

export interface Opened {
  file: File
  stack: OpenStack
}

export interface Finished {
  restored: Restored
  before: OpenStack
  after: OpenStack
  report: Facts
  /** Channel of the image that the result shows; null for all. */
  channel: number | null
}

export function RestorePage({ engine, about, shown }: { engine: Engine; about: About; shown: boolean }) {
  const models = useLoaded<Model[]>(() => engine.models(), [engine])
  const [opened, setOpened] = useState<Opened | null>(null)
  const [choice, setChoice] = useState<Choice>(() => fresh(about))
  const [problem, setProblem] = useState<Problem | null>(null)
  const [progress, setProgress] = useState<Progress | null>(null)
  const [finished, setFinished] = useState<Finished | null>(null)
  const [visits, setVisits] = useState(0)
  const stop = useRef<AbortController | null>(null)
  const opening = useRef(0)

  async function open(file: File, task?: string, options: Record<string, string> = {}, model = '') {
    const turn = ++opening.current
    setProblem(null)
    try {
      const stack = await images.open(file, file.name)
      if (turn !== opening.current) return images.close(stack)
      setFinished(null)
      setOpened({ file, stack })
      setChoice((before) => ({ ...fresh(about, stack), task: task ?? before.task, model, options }))
    } catch (error) {
      if (turn === opening.current) setProblem(problemOf(error))
    }
  }

  /** Waits for a result and opens it; errors and cancelling end here. Whether there is a result. */
  async function run(before: OpenStack, channel: number | null, work: (signal: AbortSignal) => Promise<Restored>) {
    stop.current = new AbortController()
    setProblem(null)
    setFinished(null)
    try {
      const restored = await work(stop.current.signal)
      const after = await images.open(await restored.image(), restored.name)
      const report = await restored.report().catch(() => null)
      setFinished({ restored, before, after, report, channel })
      return true
    } catch (error) {
      if (!stop.current.signal.aborted) setProblem(problemOf(error))
      return false
    } finally {
      setProgress(null)
      stop.current = null
      setVisits((count) => count + 1)
    }
  }

  async function submit() {
    if (!opened || progress) return
    const part = { z: choice.z, t: choice.t }
    setProgress({ state: 'sending', share: 0 })
    try {
      const file = isWhole(opened.stack, part) ? opened.file : await images.cut(opened.stack, part)
      if (about.largestBytes !== null && file.size > about.largestBytes)
        throw new EngineError(
          `${file.name} has ${bytesText(file.size)}, more than the ${bytesText(about.largestBytes)} that are taken here.`,
          'Choose fewer slices or frames, or restore it with `unifmir restore`, which reads images of any size piece by piece.',
        )
      const before = file === opened.file ? opened.stack : await images.open(file, file.name)
      const settings = chosenSettings(choice, opened.stack)
      const done = await run(before, settings.channel ?? null, (signal) => engine.restore(file, settings, setProgress, signal))
      if (!done && before !== opened.stack) images.close(before)
    } catch (error) {
      setProgress(null)
      setProblem(problemOf(error))
    }
  }

  async function reopen(job: Job) {
    const jobs = engine.jobs
    if (!jobs || progress) return
    try {
      const file = await jobs.input(job)
      const stack = await images.open(file, file.name)
      setOpened({ file, stack })
      setChoice((before) => ({ ...fresh(about, stack), task: job.task || before.task }))
      if (job.state !== 'failed' && job.state !== 'cancelled')
        await run(stack, job.channel, (signal) => jobs.follow(job, setProgress, signal))
    } catch (error) {
      setProblem(problemOf(error))
    }
  }

  /** The sample image of a task, to be restored by a model that somebody wants to try. */
  async function openTrial(task: string, model: string) {
    try {
      const sample = (await engine.samples()).find((one) => one.task === task)
      if (sample) await open(await engine.sample(sample), task, sample.options, model)
    } catch (error) {
      setProblem(problemOf(error))
    }
  }
  useEffect(() => {
    const [page, task, model] = location.hash.slice(1).split('/').map(plainWord)
    if (!shown || page !== 'restore' || !task || progress) return
    history.replaceState(null, '', '#restore')
    void openTrial(task, model ?? '')
  }, [shown])

  useClosing(opened?.stack)
  useClosing(finished?.after)
  useClosing(finished && finished.before !== opened?.stack ? finished.before : null)
  useDrop(shown && !progress, (file) => void open(file))

  return (
    <div class="restore">
      <aside class="panel" aria-label="Image and settings">
        <h1 class="hidden">Restore an image</h1>
        <ImageChooser about={about} opened={opened} busy={progress !== null} onOpen={open} onClose={() => (setOpened(null), setFinished(null))} />
        {problem && <Trouble problem={problem} onClose={() => setProblem(null)} />}
        {opened && (
          <SettingsForm
            about={about}
            models={models.value ?? []}
            stack={opened.stack}
            choice={choice}
            busy={progress !== null}
            onChange={setChoice}
            onSubmit={() => void submit()}
          />
        )}
        {engine.jobs && <JobList jobs={engine.jobs} visits={visits} busy={progress !== null} onOpen={(job) => void reopen(job)} />}
        {opened && (
          <div class="dock">
            {progress && <ProgressBar progress={progress} onCancel={() => stop.current?.abort()} />}
            {finished && <Outcome finished={finished} />}
            {!progress && (
              <button type="submit" form="restoration" class={finished ? 'wide' : 'main wide'} disabled={!choice.task}>
                {finished ? 'Restore again' : 'Restore'}
              </button>
            )}
          </div>
        )}
      </aside>
      <section class="stage" aria-label="Picture">
        {opened ? (
          <Viewer
            before={finished?.before ?? opened.stack}
            after={finished?.after ?? null}
            channel={finished?.channel ?? null}
            shown={shown}
          />
        ) : (
          <Welcome engine={engine} about={about} busy={progress !== null} onOpen={open} />
        )}
      </section>
    </div>
  )
}

/** A part of an address as it was before it was one; as it is where it never was. */
function plainWord(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

/** Forgets an image once another one takes its place. */
function useClosing(stack: OpenStack | null | undefined) {
  useEffect(() => stack ? () => images.close(stack) : undefined, [stack])
}

/** Files dropped anywhere on the page. */
function useDrop(active: boolean, onFile: (file: File) => void) {
  const take = useRef(onFile)
  take.current = onFile
  useEffect(() => {
    if (!active) return
    const over = (event: DragEvent) => {
      if (!event.dataTransfer?.types.includes('Files')) return
      event.preventDefault()
      document.body.classList.add('dropping')
    }
    const leave = (event: DragEvent) => event.relatedTarget === null && document.body.classList.remove('dropping')
    const drop = (event: DragEvent) => {
      document.body.classList.remove('dropping')
      const file = event.dataTransfer?.files[0]
      if (!file) return
      event.preventDefault()
      take.current(file)
    }
    addEventListener('dragover', over)
    addEventListener('dragleave', leave)
    addEventListener('drop', drop)
    return () => {
      removeEventListener('dragover', over)
      removeEventListener('dragleave', leave)
      removeEventListener('drop', drop)
      document.body.classList.remove('dropping')
    }
  }, [active])
}
