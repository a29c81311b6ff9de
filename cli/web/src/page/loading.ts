import { useEffect, useState } from 'preact/hooks'

export type Loading<T> = { value: T; problem: null } | { value: null; problem: Problem | null }

export interface Problem {
  message: string
  hint: string
}

export function problemOf(error: unknown): Problem {
  const { message, hint } = error as { message?: string; hint?: string }
  return { message: message ?? String(error), hint: hint ?? '' }
}

/** What a promise gives, as soon as it is there. */
export function useLoaded<T>(load: () => Promise<T>, again: unknown[]): Loading<T> {
  const [state, set] = useState<Loading<T>>({ value: null, problem: null })
  useEffect(() => {
    let wanted = true
    load().then(
      (value) => wanted && set({ value, problem: null }),
      (error) => wanted && set({ value: null, problem: problemOf(error) }),
    )
    return () => {
      wanted = false
    }
  }, again)
  return state
}
