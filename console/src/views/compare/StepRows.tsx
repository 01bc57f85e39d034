/** The steps of two runs, paired; a click on one shows what its data differ in. */

import { useQuery } from '@tanstack/react-query'
import { useVirtualizer } from '@tanstack/react-virtual'
import { useMemo, useRef, useState } from 'react'
import { step as stepQuery } from '../../api/queries'
import type { Step } from '../../api/types'
import { isSlower, type Pair } from '../../layout/compareRuns'
import { jsonDiff } from '../../layout/jsonDiff'
import { IconButton, StateText } from '../../ui/basics'
import { DiffView } from '../../ui/DiffView'
import { Failed, Loading } from '../../ui/states'
import { counted, cut } from '../../words/numbers'
import { status } from '../../words/states'
import { span } from '../../words/time'
import { turnOf } from '../instance/model'

const ROW = 34
/** Fewer rows stand on the page as they are; more are windowed in a box of their own. */
const MOST = 100

interface RowsProps {
  pairs: Pair<Step>[]
  a: string
  b: string
}

export function StepRows({ pairs, a, b }: RowsProps) {
  const [open, setOpen] = useState<string | null>(null)
  const scroller = useRef<HTMLDivElement>(null)
  const longest = useMemo(
    () => pairs.reduce((most, { tookA, tookB }) => Math.max(most, tookA ?? 0, tookB ?? 0), 1),
    [pairs],
  )
  const windowed = pairs.length > MOST
  const rows = useVirtualizer({
    count: windowed ? pairs.length : 0,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 10,
  })
  const chosen = pairs.find((pair) => pair.key === open)
  const row = (pair: Pair<Step>, top?: number) => (
    <PairRow
      key={pair.key}
      pair={pair}
      longest={longest}
      top={top}
      open={pair.key === open}
      onOpen={() => setOpen(pair.key === open ? null : pair.key)}
    />
  )
  return (
    <div className="compare-steps">
      <div ref={scroller} className={windowed ? 'scroll windowed' : ''} tabIndex={-1}>
        <div
          className="table pairs-table"
          role="table"
          aria-label="Steps"
          aria-rowcount={pairs.length + 1}
        >
          <div className="tr th" role="row">
            {['Step', 'First', 'Second', 'Difference'].map((word) => (
              <span key={word} role="columnheader">
                {word}
              </span>
            ))}
          </div>
          {windowed ? (
            <div role="rowgroup" className="virtual" style={{ height: rows.getTotalSize() }}>
              {rows.getVirtualItems().map(({ index, start }) => {
                const pair = pairs[index]
                return pair && row(pair, start)
              })}
            </div>
          ) : (
            pairs.map((pair) => row(pair))
          )}
        </div>
      </div>
      {chosen && <PairData pair={chosen} a={a} b={b} onClose={() => setOpen(null)} />}
    </div>
  )
}

function PairRow({
  pair,
  longest,
  top,
  open,
  onOpen,
}: {
  pair: Pair<Step>
  longest: number
  top?: number
  open: boolean
  onOpen: () => void
}) {
  const { step, a, b } = pair
  const undo = step.compensates !== null
  return (
    <div
      role="row"
      className={`tr ${open ? 'is-on' : ''} ${pair.differs ? 'differs' : ''} ${top === undefined ? '' : 'virtual-row'}`}
      style={top === undefined ? undefined : { transform: `translateY(${top}px)` }}
    >
      <span role="cell" className="cut">
        <button
          type="button"
          className="step-name link bare cut"
          aria-expanded={open}
          title={step.reference}
          onClick={onOpen}
        >
          {undo && <span className="mid">undo of </span>}
          <bdi>{cut(step.name, 80)}</bdi>
          {turnOf(step)}
        </button>
      </span>
      <Side step={a} took={pair.tookA} longest={longest} />
      <Side step={b} took={pair.tookB} longest={longest} />
      <span role="cell" className="num mid">
        {differenceOf(pair)}
      </span>
    </div>
  )
}

function Side({
  step,
  took,
  longest,
}: {
  step: Step | null
  took: number | null
  longest: number
}) {
  if (!step) {
    return (
      <span role="cell" className="quiet small">
        did not run
      </span>
    )
  }
  const state = status(step.status)
  return (
    <span role="cell" className={`pair-side s-${state.tone}`}>
      <StateText state={state} />
      {step.attempts.length > 1 && (
        <small className="quiet">{counted(step.attempts.length, 'attempt')}</small>
      )}
      <span className="grow" />
      <span className="pair-bar" aria-hidden="true">
        <i style={{ width: `${((took ?? 0) / longest) * 100}%` }} />
      </span>
      <span className="num took">{took === null ? '' : span(took)}</span>
    </span>
  )
}

function differenceOf(pair: Pair<Step>): string {
  if (pair.differs === 'missing') return pair.a ? 'only in the first' : 'only in the second'
  const words: string[] = []
  if (pair.differs === 'state') words.push('ended otherwise')
  if (pair.tookA !== null && pair.tookB !== null && isSlower(pair)) {
    const difference = pair.tookB - pair.tookA
    words.push(`${difference > 0 ? '+' : '−'}${span(Math.abs(difference))}`)
  }
  if (pair.differs === 'attempts') words.push('tried more often')
  return words.join(', ')
}

/** What the input and the output of a step differ in. */
function PairData({
  pair,
  a,
  b,
  onClose,
}: {
  pair: Pair<Step>
  a: string
  b: string
  onClose: () => void
}) {
  const one = useQuery({ ...stepQuery(a, pair.a?.id ?? 0), enabled: pair.a !== null })
  const other = useQuery({ ...stepQuery(b, pair.b?.id ?? 0), enabled: pair.b !== null })
  const error = one.error ?? other.error
  const ready = (pair.a === null || one.data) && (pair.b === null || other.data)
  return (
    <section className="pad pair-data" aria-label={`Data of ${cut(pair.step.name, 60)}`}>
      <header>
        <b>
          <bdi>{cut(pair.step.name, 80)}</bdi>
          {turnOf(pair.step)}
        </b>
        <span className="grow" />
        <IconButton icon="close" label="Close" small kind="quiet" onClick={onClose} />
      </header>
      {error ? (
        <Failed error={error} />
      ) : !ready ? (
        <Loading rows={2} />
      ) : (
        <div className="data-grid">
          {(['arguments', 'output', 'error'] as const).map((part) => (
            <PairPart key={part} part={part} a={one.data?.[part]} b={other.data?.[part]} />
          ))}
        </div>
      )}
    </section>
  )
}

const PARTS = { arguments: 'Arguments', output: 'Output', error: 'Error' }

function PairPart({ part, a, b }: { part: keyof typeof PARTS; a: unknown; b: unknown }) {
  const lines = useMemo(() => jsonDiff(a ?? null, b ?? null), [a, b])
  const same = lines.every((line) => line.kind === 'same' || line.kind === 'gap')
  return (
    <div>
      <p className="label">{PARTS[part]}</p>
      {same ? (
        <p className="quiet">The same.</p>
      ) : (
        <DiffView lines={lines} label={`${PARTS[part]}, what differs`} />
      )}
    </div>
  )
}
