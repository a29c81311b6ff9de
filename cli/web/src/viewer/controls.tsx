import { useId } from 'preact/hooks'

/** One of a few, as buttons in a row; a group of radio buttons to the keyboard and screen readers. */
export function Segments<T extends string>({ title, choices, value, onChange }: { title: string; choices: [T, string][]; value: T; onChange: (value: T) => void }) {
  const name = useId()
  return (
    <fieldset class="segments">
      <legend class="hidden">{title}</legend>
      {choices.map(([key, text]) => (
        <label key={key}>
          <input type="radio" name={name} value={key} checked={value === key} onChange={() => onChange(key)} />
          <span>{text}</span>
        </label>
      ))}
    </fieldset>
  )
}

export function Scrubber({ title, max, value, text, onChange }: { title: string; max: number; value: number; text: string; onChange: (value: number) => void }) {
  return (
    <label class="scrubber">
      <span>{title}</span>
      <input type="range" min={0} max={max} step={1} value={value} aria-valuetext={text} onInput={(event) => onChange(Number(event.currentTarget.value))} />
      <output>{text}</output>
    </label>
  )
}
