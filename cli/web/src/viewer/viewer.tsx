import { useEffect, useState } from 'preact/hooks'
import type { Place as PicturePlace } from '../images/profile'
import type { OpenStack, Section } from '../images/stack'
import { Trouble } from '../page/notice'
import { Canvas } from './canvas'
import { automatic, type Contrast } from './contrast'
import { ContrastPanel } from './contrast_panel'
import { ALONG, extentOf, pixelSize, places } from './pairing'
import { usePlanes, useSpreads, type Mode } from './planes'
import { ProfilePanel } from './profile_panel'
import { Scrubber, Segments } from './controls'
import type { View } from './viewport'

export interface Line {
  from: PicturePlace
  to: PicturePlace
}

interface Props {
  before: OpenStack
  after: OpenStack | null
  channel: number | null
  shown: boolean
}

const ACROSS: Line = { from: { x: 0.1, y: 0.5 }, to: { x: 0.9, y: 0.5 } }

/** Image and result beside each other: slices, contrast, profiles and the difference. */
export function Viewer({ before, after, channel, shown }: Props) {
  const pair = { before, after }
  const images = { before, after, channel }
  const [which, setWhich] = useState<Section>('xy')
  const [index, setIndex] = useState(0)
  const [t, setT] = useState(0)
  const [c, setC] = useState(0)
  const [mode, setMode] = useState<Mode>('slider')
  const [divider, setDivider] = useState(0.5)
  const [view, setView] = useState<View | null>(null)
  const [contrast, setContrast] = useState<Contrast | null>(null)
  const [line, setLine] = useState<Line | null>(null)
  const { spreads, problem } = useSpreads(images, c)
  const along = ALONG[which]
  const most = places(pair, along)

  useEffect(() => {
    setIndex(Math.floor(places(pair, ALONG[which]) / 2))
    setView(null)
  }, [before, after, which])
  useEffect(() => {
    setMode('slider')
    setT(0)
    setC(channel ?? 0)
    setWhich('xy')
  }, [before, after, channel])
  useEffect(() => {
    if (spreads) setContrast(automatic(spreads.before, spreads.after))
  }, [spreads])

  const at = { section: which, index: Math.min(index, most - 1), t: Math.min(t, places(pair, 't') - 1), c }
  const planes = usePlanes(images, at, mode)
  const modes: [Mode, string][] = [['slider', 'Slider'], ['side', 'Side by side'], ['difference', 'Difference']]
  const channels = channel === null ? before.sizes.c : 1
  const sections: [Section, string][] = [['xy', 'xy'], ['xz', 'xz'], ['yz', 'yz']]

  return (
    <div class="viewer">
      <div class="toolbar" role="group" aria-label="View">
        {after && <Segments title="Compare" choices={modes} value={mode} onChange={setMode} />}
        {places(pair, 'z') > 1 && <Segments title="Section" choices={sections} value={which} onChange={setWhich} />}
        <button type="button" aria-pressed={line !== null} onClick={() => setLine(line ? null : ACROSS)}>
          Line profile
        </button>
      </div>
      {(planes.problem ?? problem) && <Trouble problem={(planes.problem ?? problem)!} />}
      <Canvas
        planes={planes.shown}
        extent={extentOf(pair, which)}
        micrometres={pixelSize(pair)}
        mode={after ? mode : 'slider'}
        contrast={contrast}
        divider={divider}
        view={view}
        line={line}
        shown={shown}
        onDivider={setDivider}
        onView={setView}
        onLine={setLine}
        onStep={(step) => setIndex(Math.min(most - 1, Math.max(0, at.index + step)))}
      />
      <div class="scrubbers">
        {after && mode === 'slider' && (
          <Scrubber title="Divider" max={100} value={Math.round(divider * 100)} text={`${Math.round(divider * 100)} % before`} onChange={(value) => setDivider(value / 100)} />
        )}
        {most > 1 && (
          <Scrubber
            title={which === 'xy' ? 'Slice' : along === 'y' ? 'Row' : 'Column'}
            max={most - 1}
            value={at.index}
            text={`${at.index + 1} of ${most}`}
            onChange={setIndex}
          />
        )}
        {places(pair, 't') > 1 && (
          <Scrubber title="Frame" max={places(pair, 't') - 1} value={at.t} text={frameText(at.t, before, places(pair, 't'))} onChange={setT} />
        )}
        {channels > 1 && (
          <Scrubber title="Channel" max={channels - 1} value={c} text={before.channels[c] ?? `${c + 1} of ${channels}`} onChange={setC} />
        )}
      </div>
      <div class="panels">
        {contrast && spreads && (
          <ContrastPanel contrast={contrast} spreads={spreads} planes={planes.shown} paired={after !== null} onChange={setContrast} />
        )}
        {line && planes.shown && (
          <ProfilePanel
            line={line}
            planes={planes.shown}
            extent={extentOf(pair, which)}
            micrometres={pixelSize(pair)}
            apart={contrast?.unlike ?? false}
          />
        )}
      </div>
    </div>
  )
}

function frameText(t: number, stack: OpenStack, count: number): string {
  const time = stack.sampling.t ? ` · ${Number((t * stack.sampling.t).toPrecision(4))} s` : ''
  return `${t + 1} of ${count}${time}`
}
