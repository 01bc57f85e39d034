/** The timeline: one row a step, bars of what its attempts did, pauses shortened. */

import { useVirtualizer } from '@tanstack/react-virtual'
import { type RefObject, useLayoutEffect, useMemo, useRef, useState } from 'react'
import type { Step } from '../../api/types'
import {
  type Bar,
  bars,
  orderScale,
  type Scale,
  type Span,
  scale,
  strip,
  type Tick,
} from '../../layout/timeline'
import { Icon } from '../../ui/icons'
import { count, counted, cut } from '../../words/numbers'
import { status, type Tone } from '../../words/states'
import { micros, span, tick as tickWords } from '../../words/time'
import { asError, errorKind } from '../../words/why'
import { type Row, turnOf } from './model'

/** Widths are percentages of the lane, so that a resize lays out nothing anew. */
const LANE = 1000
const ROW = 32
const LEFT = 12 // of LANE: room for what is drawn at the very beginning

interface TimelineProps {
  rows: Row<Step>[]
  steps: Step[]
  now: number
  order: boolean
  range: Span | null
  selected: number | null
  scroller: RefObject<HTMLElement | null>
  undoBecause: string | null
  onSelect: (step: number) => void
  onToggle: (step: number) => void
  onRange: (range: Span | null) => void
}

export function Timeline(props: TimelineProps) {
  const { rows, steps, now, order, range, scroller } = props
  const top = useRef<HTMLDivElement>(null)
  const width = useLaneWidth(top)
  const full = useMemo(() => scaleOf(steps, now, order, range), [steps, now, order, range])
  const view = useMemo(() => ({ ...full, ticks: thinned(full.ticks, width) }), [full, width])
  const margin = useMargin(top, scroller)
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 12,
    scrollMargin: margin,
    getItemKey: (at) => rowKey(rows[at], at),
  })
  return (
    <div className="tl" role="table" aria-label="Timeline" aria-rowcount={rows.length}>
      <Head view={view} {...props} />
      <div className="virtual" ref={top} style={{ height: virtual.getTotalSize() }}>
        {virtual.getVirtualItems().map((item) => {
          const row = rows[item.index]
          return (
            row && (
              <div
                key={item.key}
                className="virtual-row"
                style={{ transform: `translateY(${item.start - margin}px)` }}
              >
                <TimelineRow row={row} view={view} {...props} />
              </div>
            )
          )
        })}
      </div>
    </div>
  )
}

function rowKey(row: Row<Step> | undefined, at: number): string {
  if (!row) return String(at)
  return row.kind === 'undo' ? 'undo' : `${row.kind} ${row.step.id}`
}

/** How far the rows begin below the top of what scrolls. */
function useMargin(
  top: RefObject<HTMLElement | null>,
  scroller: RefObject<HTMLElement | null>,
): number {
  const [margin, setMargin] = useState(0)
  useLayoutEffect(() => {
    const [a, b] = [top.current, scroller.current]
    if (!a || !b) return
    const next = a.getBoundingClientRect().top - b.getBoundingClientRect().top + b.scrollTop
    if (Math.abs(next - margin) > 1) setMargin(next)
  })
  return margin
}

function scaleOf(steps: Step[], now: number, order: boolean, range: Span | null): Scale {
  const spans = steps.flatMap((step) =>
    bars(step, now)
      .filter((bar) => bar.kind !== 'span' && bar.kind !== 'wait')
      .map(({ from, to }) => ({ from, to })),
  )
  const marks = steps.flatMap((step) => [step.started_at, step.ended_at])
  const points = marks.flatMap((at) => (at ? [{ from: micros(at), to: micros(at) }] : []))
  const all = [...spans, ...points]
  if (steps.some((step) => !step.ended_at)) all.push({ from: now, to: now })
  if (!all.length) all.push({ from: now, to: now + 1 })
  if (order) return orderScale(all, LANE - 2 * LEFT)
  return scale(all, LANE - 2 * LEFT, range ? { range } : { gap: 34 })
}

/** Below this many px two marks would run into each other. */
const APART = 58

/** Every n-th mark, where a lane is too narrow for all. */
function thinned(ticks: Tick[], width: number): Tick[] {
  const [a, b] = ticks
  if (!a || !b) return ticks
  const step = Math.ceil(APART / Math.max(1, ((b.x - a.x) / LANE) * width))
  return ticks.filter((_, at) => at % step === 0)
}

/** About how wide a lane is: in steps of 50 px, so that a drag lays out little anew. */
function useLaneWidth(top: RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(LANE)
  useLayoutEffect(() => {
    const element = top.current
    if (!element || typeof ResizeObserver === 'undefined') return
    const observer = new ResizeObserver(() => {
      setWidth(Math.max(50, Math.floor((element.clientWidth - 298) / 50) * 50))
    })
    observer.observe(element)
    return () => observer.disconnect()
  }, [top])
  return width
}

const percent = (x: number): string => `${((LEFT + x) / LANE) * 100}%`

function Head({ view, order, range, onRange }: { view: Scale } & TimelineProps) {
  const lane = useRef<HTMLDivElement>(null)
  const [drag, setDrag] = useState<{ from: number; to: number } | null>(null)
  const at = (clientX: number): number => {
    const box = lane.current?.getBoundingClientRect()
    return box ? ((clientX - box.left) / box.width) * LANE - LEFT : 0
  }
  const end = () => {
    if (drag && Math.abs(drag.to - drag.from) > 8) {
      const [a, b] = [Math.min(drag.from, drag.to), Math.max(drag.from, drag.to)]
      onRange({ from: view.time(a), to: view.time(b) })
    }
    setDrag(null)
  }
  return (
    <div className="r head-row" role="row">
      <div className="head name" role="columnheader">
        Step
      </div>
      <div
        className="head lane zoomable"
        role="columnheader"
        title="Drag to zoom, double-click to see all"
        ref={lane}
        onPointerDown={(event) => {
          if (order) return
          event.currentTarget.setPointerCapture(event.pointerId)
          setDrag({ from: at(event.clientX), to: at(event.clientX) })
        }}
        onPointerMove={(event) => drag && setDrag({ ...drag, to: at(event.clientX) })}
        onPointerUp={end}
        onPointerCancel={() => setDrag(null)}
        onDoubleClick={() => onRange(null)}
      >
        {order ? (
          <span className="tick-text first" style={{ left: percent(0) }}>
            in the order of events
          </span>
        ) : (
          view.ticks.map((tick, index) => (
            <span
              key={`${tick.x}`}
              className={`tick-text ${index === 0 ? 'first' : ''}`}
              style={{ left: percent(tick.x) }}
            >
              {tick.plus ? '+' : ''}
              {tick.ms === 0 ? (range ? '…' : '0') : tickWords(tick.ms)}
            </span>
          ))
        )}
        {view.breaks.map((each) => (
          <span
            key={each.x}
            className={`tick-text on-break ${each.x > LANE * 0.92 ? 'end' : ''}`}
            style={{ left: percent(each.x + each.w / 2) }}
          >
            {span(each.ms)}
          </span>
        ))}
        {drag && (
          <i
            className="range"
            style={{
              left: percent(Math.min(drag.from, drag.to)),
              width: `${(Math.abs(drag.to - drag.from) / LANE) * 100}%`,
            }}
          />
        )}
      </div>
      <div className="head took" role="columnheader">
        Took
      </div>
    </div>
  )
}

function TimelineRow(props: { row: Row<Step>; view: Scale } & TimelineProps) {
  const { row, onToggle } = props
  if (row.kind === 'undo') {
    return (
      <div className="sect" role="row">
        <span role="cell" className="sect-in">
          <Icon name="undo" />
          <span className="cut">
            Undo
            {props.undoBecause && (
              <>
                , because <b>{cut(props.undoBecause, 60)}</b> faulted
              </>
            )}
          </span>
        </span>
      </div>
    )
  }
  if (row.kind === 'more') {
    return (
      <div className="r" role="row">
        <span className="name more-row" role="cell" style={depth(row.depth)}>
          <button type="button" className="link bare quiet" onClick={() => onToggle(row.step.id)}>
            {count(row.hidden)} more turns: show all
          </button>
        </span>
        <span className="lane" role="cell" />
        <span className="took" role="cell" />
      </div>
    )
  }
  if (row.kind === 'strip') return <StripRow {...props} row={row} />
  return <StepRow {...props} row={row} />
}

const depth = (n: number): React.CSSProperties =>
  ({ '--depth': Math.min(n, 12) }) as React.CSSProperties

type StepRowProps = { row: Extract<Row<Step>, { kind: 'step' }>; view: Scale } & TimelineProps

function StepRow({ row, view, now, selected, onSelect, onToggle }: StepRowProps) {
  const { step } = row
  const drawn = bars(step, now)
  const tone = toneOf(step)
  const late = drawn.some((bar) => bar.kind === 'late')
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the button inside is for the keyboard
    <div
      className={`r s-${tone} ${selected === step.id ? 'is-on' : ''}`}
      role="row"
      tabIndex={-1}
      aria-selected={selected === step.id}
      onClick={() => onSelect(step.id)}
    >
      <span className="name" role="cell" style={depth(row.depth)}>
        {row.children > 0 && (
          <button
            type="button"
            className="tw"
            aria-label={row.open ? 'Fold' : 'Open'}
            aria-expanded={row.open}
            onClick={(event) => {
              event.stopPropagation()
              onToggle(step.id)
            }}
          >
            <Icon name={row.open ? 'down' : 'right'} size="s" />
          </button>
        )}
        <StepName step={step} onSelect={onSelect} />
      </span>
      <span className={`lane ${late ? 'split' : ''}`} role="cell">
        <Grid view={view} />
        {drawn.map((bar, at) => (
          <BarMark key={at} bar={bar} view={view} />
        ))}
        <BarText step={step} drawn={drawn} view={view} />
      </span>
      <span className="took" role="cell">
        {tookOf(step, now)}
      </span>
    </div>
  )
}

function StepName({ step, onSelect }: { step: Step; onSelect: (step: number) => void }) {
  const shown = status(step.status)
  const turn = turnOf(step)
  return (
    <>
      <Icon
        name={step.compensates !== null && step.status === 'completed' ? 'undone' : shown.icon}
      />
      <button
        type="button"
        className="step-name with-turn"
        title={step.reference}
        onClick={() => onSelect(step.id)}
      >
        <bdi className="cut">{cut(step.name, 60)}</bdi>
        {turn && <span className="turn">{turn}</span>}
        <span className="sr">, {shown.word}</span>
      </button>
      <small className="cut">{noteOf(step)}</small>
    </>
  )
}

function noteOf(step: Step): string {
  if (step.attempts.length > 1) return counted(step.attempts.length, 'attempt')
  if (step.compensates !== null) return taskName(step) ?? 'undo'
  if (step.skipped) return 'skipped'
  return step.kind === 'call' ? '' : step.kind
}

const taskName = (step: Step): string | undefined => step.attempts.at(-1)?.task.split('.').at(-1)

function toneOf(step: Step): Tone {
  if (step.compensates !== null && step.status === 'completed') return 'undo'
  return status(step.status).tone
}

function tookOf(step: Step, now: number): string {
  if (!step.started_at) return ''
  const end = step.ended_at ? micros(step.ended_at) : now
  return span(end - micros(step.started_at))
}

function Grid({ view }: { view: Scale }) {
  return (
    <>
      {view.ticks.map((tick) => (
        <i key={tick.x} className="tick" style={{ left: percent(tick.x) }} />
      ))}
      {view.breaks.map((each) => (
        <i
          key={`b${each.x}`}
          className="break"
          style={{ left: percent(each.x), width: `${(each.w / LANE) * 100}%` }}
        />
      ))}
    </>
  )
}

const BAR_WORDS: Partial<Record<Bar['kind'], string>> = {
  queue: 'queued',
  ghost: 'lost',
  late: 'came too late, refused',
  backoff: 'waits for the next attempt',
}

function BarMark({ bar, view }: { bar: Bar; view: Scale }) {
  const [a, b] = [view.x(bar.from), view.x(bar.to)]
  const outside = bar.to < view.from || bar.from > view.to
  if (outside && bar.from !== bar.to) return null
  const width = bar.kind === 'instant' ? undefined : `${((b - a) / LANE) * 100}%`
  const words = BAR_WORDS[bar.kind] ?? bar.kind
  const title = `${bar.attempt ? `attempt ${bar.attempt}, ` : ''}${words}: ${span(bar.to - bar.from)}`
  return <i className={`tb tb-${bar.kind}`} title={title} style={{ left: percent(a), width }} />
}

/** One word at a bar that stands out: the loss of an attempt, or the error. */
function BarText({ step, drawn, view }: { step: Step; drawn: Bar[]; view: Scale }) {
  const ghost = drawn.find((bar) => bar.kind === 'ghost')
  if (ghost && view.x(ghost.to) - view.x(ghost.from) > 220) {
    const by = ghost.worker ? ` on ${cut(ghost.worker, 24)}` : ''
    return (
      <span
        className="tb-text s-retry"
        style={{ left: `calc(${percent(view.x(ghost.from))} + 12px)` }}
      >
        attempt {ghost.attempt}
        {by}, lost
      </span>
    )
  }
  const error = asError(step.error)
  const last = drawn.at(-1)
  if (step.status !== 'faulted' || !error || !last) return null
  const from = view.x(last.from)
  const words = cut(error.title ?? errorKind(error.type), 40)
  const to = view.x(last.to)
  if (from < LANE * 0.15 && to > LANE * 0.8) return null
  return to > LANE * 0.8 ? (
    <span className="tb-text s-faulted end" style={{ left: `calc(${percent(from)} - 4px)` }}>
      <bdi>{words}</bdi>
    </span>
  ) : (
    <span className="tb-text s-faulted" style={{ left: `calc(${percent(to)} + 6px)` }}>
      <bdi>{words}</bdi>
    </span>
  )
}

function StripRow({
  row,
  selected,
  now,
  onSelect,
  onToggle,
}: { row: Extract<Row<Step>, { kind: 'strip' }>; view: Scale } & TimelineProps) {
  const { step, turns } = row
  const cells = useMemo(
    () => strip(turns.map((turn) => ({ ...turn, again: turn.attempts.length > 1 }))),
    [turns],
  )
  const per = Math.ceil(turns.length / cells.length)
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the button inside is for the keyboard
    <div
      className={`r s-${status(step.status).tone} ${selected === step.id ? 'is-on' : ''}`}
      role="row"
      tabIndex={-1}
      aria-selected={selected === step.id}
      onClick={() => onSelect(step.id)}
    >
      <span className="name" role="cell" style={depth(row.depth)}>
        <button
          type="button"
          className="tw"
          aria-label={row.open ? 'Show only what stands out' : 'Show all turns'}
          aria-expanded={row.open}
          onClick={(event) => {
            event.stopPropagation()
            onToggle(step.id)
          }}
        >
          <Icon name={row.open ? 'down' : 'right'} size="s" />
        </button>
        <StepName step={step} onSelect={onSelect} />
        <small className="cut">{counted(turns.length, 'turn')}</small>
      </span>
      <span className="lane" role="cell">
        <span
          className="cells"
          role="img"
          aria-label={`${counted(turns.length, 'turn')}, each cell ${per} of them`}
          title={`A cell is ${counted(per, 'turn')}, its colour the worst of them`}
        >
          {cells.map((cell) => (
            <i
              key={cell.from}
              className={`s-${cell.again && cell.status === 'completed' ? 'retry' : status(cell.status).tone}`}
            />
          ))}
        </span>
      </span>
      <span className="took" role="cell">
        {tookOf(step, now)}
      </span>
    </div>
  )
}
