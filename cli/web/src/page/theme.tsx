import { useEffect, useState } from 'preact/hooks'

const NEXT = { auto: 'light', light: 'dark', dark: 'auto' } as const
type Theme = keyof typeof NEXT
const SHOWN = { auto: 'Auto', light: 'Light', dark: 'Dark' }
const NAMES = { auto: 'as the system', light: 'light', dark: 'dark' }

function kept(): Theme {
  try {
    const said = localStorage.getItem('theme')
    return said === 'light' || said === 'dark' ? said : 'auto'
  } catch {
    return 'auto'
  }
}

/** Switch between the system's choice, light and dark; kept in the browser. */
export function ThemeSwitch() {
  const [theme, setTheme] = useState(kept)
  useEffect(() => {
    document.documentElement.dataset.theme = theme
    try {
      localStorage.setItem('theme', theme)
    } catch {
      // A browser that keeps nothing has the theme until the page is left.
    }
  }, [theme])
  return (
    <button
      type="button"
      class="plain theme"
      aria-label={`${SHOWN[theme]}: colours ${NAMES[theme]}, change to ${NAMES[NEXT[theme]]}`}
      onClick={() => setTheme(NEXT[theme])}
    >
      <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
        <circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="1.5" />
        {theme !== 'light' && (
          <path d={theme === 'dark' ? 'M8 2a6 6 0 0 0 0 12 6 6 0 0 0 0-12z' : 'M8 2a6 6 0 0 1 0 12z'} fill="currentColor" />
        )}
      </svg>
      <span>{SHOWN[theme]}</span>
    </button>
  )
}
