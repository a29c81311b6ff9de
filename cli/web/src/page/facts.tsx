import type { Facts } from '../engine/engine'
import { numberText } from './text'

/** Values of JSON as nested lists of names and values. */
export function FactList({ facts }: { facts: Facts }) {
  if (facts === null) return <span class="none">not known</span>
  if (Array.isArray(facts)) {
    if (facts.length === 0) return <span class="none">none</span>
    if (facts.every((item) => item === null || typeof item !== 'object'))
      return <span>{facts.map(shown).join(', ')}</span>
    return (
      <ol class="facts">
        {facts.map((item, index) => (
          <li key={index}>
            <FactList facts={item} />
          </li>
        ))}
      </ol>
    )
  }
  if (typeof facts === 'object')
    return (
      <dl class="facts">
        {Object.entries(facts).map(([name, value]) => (
          <div key={name}>
            <dt>{name.replaceAll('_', ' ')}</dt>
            <dd>
              <FactList facts={value} />
            </dd>
          </div>
        ))}
      </dl>
    )
  const text = shown(facts)
  if (typeof facts === 'string' && /^https?:\/\/\S+$/.test(facts))
    return (
      <a href={facts} rel="noreferrer">
        {facts}
      </a>
    )
  return <span class={text.length > 48 && !text.includes(' ') ? 'long' : undefined}>{text}</span>
}

export function shown(value: Facts): string {
  if (typeof value === 'number') return numberText(value)
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  return value === null ? '–' : typeof value === 'object' ? JSON.stringify(value) : value
}
