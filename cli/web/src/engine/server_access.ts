/** The password that `unifmir serve --auth` asks for: told once, a cookie is what says it from then on. */

import { EngineError, type Access } from './engine'

export class ServerAccess implements Access {
  private readonly listeners = new Set<(asked: boolean) => void>()
  private signedIn: Promise<void> | null = null
  private admit: () => void = () => undefined

  constructor(private readonly root: string) {}

  watch(listener: (asked: boolean) => void): () => void {
    this.listeners.add(listener)
    listener(this.signedIn !== null)
    return () => void this.listeners.delete(listener)
  }

  /** Asks for the password, and waits until it was right. */
  wait(): Promise<void> {
    this.signedIn ??= new Promise((resolve) => (this.admit = resolve))
    this.tell(true)
    return this.signedIn
  }

  async signIn(password: string) {
    // Headers have no letters beyond Latin-1: the password goes as bytes of UTF-8, in base 64.
    const bytes = new TextEncoder().encode(`:${password}`)
    const authorization = `Basic ${btoa(String.fromCharCode(...bytes))}`
    const answer = await fetch(`${this.root}sign-in`, { method: 'POST', headers: { authorization } }).catch(() => null)
    if (!answer) throw new EngineError('The server does not answer.', 'Look whether `unifmir serve` still runs.')
    if (answer.status === 401) throw new EngineError('This is not the password.', '`unifmir serve --auth` shows it at its start, or takes it from UNIFMIR_SERVE_PASSWORD.')
    if (!answer.ok) throw new EngineError(`The server answered with status ${answer.status}.`)
    this.signedIn = null
    this.admit()
    this.tell(false)
  }

  private tell(asked: boolean) {
    for (const listener of this.listeners) listener(asked)
  }
}
