import { useEffect, useRef, useState } from 'preact/hooks'
import type { Access } from '../engine/engine'
import { problemOf, type Problem } from './loading'
import { Trouble } from './notice'

/** Asks for the password whenever the engine does; what was begun goes on once it was right. */
export function SignIn({ access }: { access: Access }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const input = useRef<HTMLInputElement>(null)
  const [asked, setAsked] = useState(false)
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<Problem | null>(null)
  useEffect(() => access.watch(setAsked), [access])
  useEffect(() => {
    if (asked) dialog.current?.showModal()
    else dialog.current?.close()
  }, [asked])

  async function submit(event: SubmitEvent) {
    event.preventDefault()
    setBusy(true)
    setProblem(null)
    try {
      await access.signIn(input.current!.value)
    } catch (error) {
      setProblem(problemOf(error))
    } finally {
      setBusy(false)
      input.current!.value = ''
    }
  }

  return (
    <dialog ref={dialog} class="sign-in" aria-labelledby="sign-in-title" onCancel={(event) => event.preventDefault()}>
      <form onSubmit={(event) => void submit(event)}>
        <h2 id="sign-in-title">Sign in</h2>
        <p class="note" id="sign-in-note">
          This server asks for a password. Whoever started it has it.
        </p>
        <label>
          <span>Password</span>
          <input ref={input} type="password" autocomplete="current-password" required aria-describedby="sign-in-note" />
        </label>
        {problem && <Trouble problem={problem} />}
        <button type="submit" class="main wide" disabled={busy}>
          Sign in
        </button>
      </form>
    </dialog>
  )
}
