/** The undo lane: what was done above, mirrored below what undid it, and why, in a list. */

import { useQuery } from '@tanstack/react-query'
import { type ReactNode, useId, useMemo } from 'react'
import { compensation as compensationQuery } from '../../api/queries'
import type { Instance, PlannedUndo, Step } from '../../api/types'
import { lookUp } from '../../layout/documentGraph'
import { LANE, type LaneUndo, type UndoLane, undoLane } from '../../layout/undoLane'
import { Note, StateText, Tabs } from '../../ui/basics'
import { Time } from '../../ui/clock'
import { fitted } from '../../ui/fit'
import { SvgIcon } from '../../ui/icons'
import { Empty } from '../../ui/states'
import { counted, cut } from '../../words/numbers'
import { status } from '../../words/states'
import { micros, span } from '../../words/time'
import { asError, errorLine } from '../../words/why'
import type { ActionName } from '../repair/actions'
import { Banners } from './Banners'
import { rootCause } from './model'

interface UndoTabProps {
  instance: Instance
  steps: Step[]
  document: unknown
  selected: number | null
  onSelect: (step: number | undefined) => void
  onAct?: (action: ActionName, step?: number) => void
  onBack: () => void
}

const TOP = 30
const H = 52
const BELOW = 156
const MARGIN = 20

export function UndoTab(props: UndoTabProps) {
  const { instance, steps, onBack } = props
  const lane = useMemo(() => undoLane(steps), [steps])
  const planned = useQuery(compensationQuery(instance.id)).data?.plan ?? []
  const cause = rootCause(steps)
  return (
    <div className="scroll grow">
      <Tabs
        label="Parts of the instance"
        value="undo"
        onChange={(tab) => tab !== 'undo' && onBack()}
        options={[
          { value: 'run', text: 'Run' },
          { value: 'undo', text: 'Undo', count: progress(lane, planned) },
        ]}
      />
      <div className="summary">
        <Story instance={instance} cause={cause} lane={lane} />
        {instance.compensation === 'failed' && (
          <Banners {...props} cause={cause} select={props.onSelect} />
        )}
      </div>
      {lane.columns.length === 0 ? (
        <Empty title="Nothing was done that could be undone" />
      ) : (
        <Lane {...props} lane={lane} planned={planned} />
      )}
      <UndoList {...props} lane={lane} planned={planned} cause={cause} />
    </div>
  )
}

const isDone = (step: Step): boolean => step.status === 'completed'

function progress(lane: UndoLane<Step>, planned: PlannedUndo[]): string {
  const done = lane.below.filter((each) => isDone(each.step)).length
  return `${done} of ${lane.below.length + planned.length}`
}

function Story({
  instance,
  cause,
  lane,
}: {
  instance: Instance
  cause: Step | null
  lane: UndoLane<Step>
}) {
  const times = lane.below.flatMap((each) => [each.step.started_at, each.step.ended_at])
  const known = times.filter((each) => each !== null).sort()
  const took = known.length > 1 ? micros(known.at(-1) ?? '') - micros(known[0] ?? '') : null
  const error = asError(cause?.error)
  const why: ReactNode =
    instance.status === 'faulted' && cause ? (
      <>
        <b className="ink">
          <bdi>{cut(cause.name, 80)}</bdi>
        </b>{' '}
        faulted
        {cause.ended_at && (
          <>
            {' at '}
            <Time at={cause.ended_at} fraction />
          </>
        )}
        {error?.title && (
          <>
            {' ('}
            <bdi>{cut(error.title, 80)}</bdi>)
          </>
        )}
      </>
    ) : instance.status === 'cancelled' ? (
      'It was cancelled'
    ) : (
      'A person asked for it'
    )
  const deed = {
    running: 'so what was done is being undone, the last first.',
    completed: 'so what was done was undone, the last first.',
    failed: 'so what was done was undone, the last first; a step of it gave up.',
    none: 'and nothing was undone.',
  }[instance.compensation]
  return (
    <Note icon="undo" tone="undo">
      {why}, {deed}{' '}
      {took !== null && instance.compensation !== 'running' && `It took ${span(took)}.`}
    </Note>
  )
}

function Lane({
  lane,
  instance,
  document,
  selected,
  onSelect,
  planned,
}: UndoTabProps & { lane: UndoLane<Step>; planned: PlannedUndo[] }) {
  const id = useId()
  const [w, h] = [lane.width + 2 * MARGIN, 236]
  const undone = new Map(lane.below.map((each) => [each.undoes.id, each]))
  const waiting = new Set(planned.map((each) => each.step))
  return (
    <section className="canvas lane" tabIndex={0} aria-label="Undo lane">
      <svg
        className="g wide lane-svg"
        role="group"
        aria-label={`What was done and what undid it, of ${instance.business_id ?? instance.id}`}
        width={w}
        height={h}
        viewBox={`${-MARGIN} 0 ${w} ${h}`}
      >
        <defs>
          <Arrow id={`${id}t`} className="cap taken" />
          <Arrow id={`${id}u`} className="undo-cap" />
        </defs>
        <text className="e-label dim" x={0} y={18}>
          Done, in the order of completion
        </text>
        <path d={`M${-MARGIN} 128H${lane.width + MARGIN}`} className="mid-line" />
        {lane.columns.map((column, at) => (
          <g key={column.step.id}>
            {at + 1 < lane.columns.length && (
              <path
                className="e taken"
                d={`M${column.x + LANE.w} ${TOP + H / 2}h${LANE.gap}`}
                markerEnd={`url(#${id}t)`}
              />
            )}
            <LaneBox
              x={column.x}
              y={TOP}
              step={column.step}
              selected={selected === column.step.id}
              onSelect={onSelect}
            />
            {undone.has(column.step.id) ? (
              <path className="e e-undo taken" d={`M${column.x + 20} ${TOP + H}V${BELOW - 1}`} />
            ) : (
              column.step !== lane.cause?.step && (
                <Stub
                  x={column.x}
                  words={waiting.has(column.step.id) ? 'undone next' : 'nothing to undo'}
                  reason={waiting.has(column.step.id) ? '' : reasonOf(column.step, document)}
                />
              )
            )}
          </g>
        ))}
        <Turns lane={lane} id={id} />
        {lane.below.map((each) => (
          <UndoBox
            key={each.step.id}
            undo={each}
            selected={selected === each.step.id}
            onSelect={onSelect}
          />
        ))}
        <text className="e-label dim" x={0} y={226}>
          Undone, in the reverse order
        </text>
      </svg>
    </section>
  )
}

function Arrow({ id, className }: { id: string; className: string }) {
  return (
    <marker
      id={id}
      viewBox="0 0 8 8"
      refX={7}
      refY={4}
      markerWidth={7}
      markerHeight={7}
      orient="auto"
    >
      <path className={className} d="M0 .8L7.2 4 0 7.2z" />
    </marker>
  )
}

/** Why a step has nothing below it. */
function reasonOf(step: Step, document: unknown): string {
  if (step.status !== 'completed') return status(step.status).word.toLowerCase()
  const undo = lookUp(document, `${step.reference}/metadata/compensate`)
  return undo === undefined ? `a ${step.kind}` : 'its block was undone'
}

function Stub({ x, words, reason }: { x: number; words: string; reason: string }) {
  return (
    <>
      <path className="e e-undo" d={`M${x + 20} ${TOP + H}V122`} />
      <text className="e-label dim" x={x + 12} y={136}>
        {words}
      </text>
      <text className="e-label dim" x={x + 12} y={151}>
        {reason}
      </text>
    </>
  )
}

/** The violet line: down from the fault, then from each undo step to the next, right to left. */
function Turns({ lane, id }: { lane: UndoLane<Step>; id: string }) {
  const first = lane.below[0]
  const middle = BELOW + H / 2
  const end = `url(#${id}u)`
  const cause = lane.cause
  return (
    <>
      {first && cause && cause.x > first.x && (
        <>
          <path
            className="e turn"
            d={`M${cause.x + LANE.w / 2} ${TOP + H}V${middle - 10}q0 10 -10 10H${first.x + LANE.w + 1}`}
            markerEnd={end}
          />
          <text className="e-label tone-undo" x={cause.x + LANE.w / 2 + 10} y={104}>
            undo starts
          </text>
        </>
      )}
      {lane.below.slice(1).map((each, at) => {
        const before = lane.below[at]
        if (!before) return null
        const leftward = each.x < before.x
        const d = leftward
          ? `M${before.x} ${middle}H${each.x + LANE.w + 1}`
          : `M${before.x + LANE.w} ${middle}H${each.x - 1}`
        return <path key={each.step.id} className="e turn" d={d} markerEnd={end} />
      })}
    </>
  )
}

function LaneBox({
  x,
  y,
  step,
  selected,
  onSelect,
}: {
  x: number
  y: number
  step: Step
  selected: boolean
  onSelect: (step: number) => void
}) {
  const state = status(step.status)
  const turn = step.index === null ? '' : ` [${step.index}]`
  return (
    <g
      className={`node done s-${state.tone} ${selected ? 'is-on' : ''}`}
      role="button"
      tabIndex={0}
      aria-label={`${step.name}${turn}, ${state.word.toLowerCase()}`}
      data-lane={step.id}
      onClick={() => onSelect(step.id)}
      onKeyDown={(event) => event.key === 'Enter' && onSelect(step.id)}
    >
      <title>{`${step.name}${turn}\n${step.reference}`}</title>
      <rect className="b" x={x + 0.5} y={y + 0.5} width={LANE.w - 1} height={H - 1} rx="7" />
      <SvgIcon name={state.icon} x={x + 12} y={y + 10} size={15} />
      <text x={x + 35} y={y + 22}>
        {fitted(`${step.name}${turn}`, LANE.w - 45)}
      </text>
      <text className="sub" x={x + 35} y={y + 39}>
        {fitted(tookOf(step), LANE.w - 45, 11)}
      </text>
    </g>
  )
}

function tookOf(step: Step): string {
  const time =
    step.started_at && step.ended_at ? span(micros(step.ended_at) - micros(step.started_at)) : ''
  const attempts = step.attempts.length
  return attempts > 1 ? `${time}, attempt ${attempts}` : time
}

const undoName = (step: Step): string => step.attempts.at(-1)?.task.split('.').at(-1) ?? step.name

function UndoBox({
  undo,
  selected,
  onSelect,
}: {
  undo: LaneUndo<Step>
  selected: boolean
  onSelect: (step: number) => void
}) {
  const { step, x, order } = undo
  const failed = step.status === 'faulted'
  const open = !step.ended_at
  const classes = `node ${failed ? 's-faulted' : 'u-ok'} ${open ? 'u-open' : 'done'} ${selected ? 'is-on' : ''}`
  return (
    <g
      className={classes}
      role="button"
      tabIndex={0}
      aria-label={`undo ${order}: ${undoName(step)}, ${status(step.status).word.toLowerCase()}`}
      data-undo={step.id}
      data-undoes={undo.undoes.id}
      data-order={order}
      onClick={() => onSelect(step.id)}
      onKeyDown={(event) => event.key === 'Enter' && onSelect(step.id)}
    >
      <title>{`${undoName(step)}\n${step.reference}`}</title>
      <rect className="b" x={x + 0.5} y={BELOW + 0.5} width={LANE.w - 1} height={H - 1} rx="7" />
      <circle cx={x + 20} cy={BELOW + H / 2} r={10} className="ord" />
      <text className="ord-n" x={x + 20} y={BELOW + H / 2 + 4} textAnchor="middle">
        {order}
      </text>
      <text x={x + 38} y={BELOW + 22}>
        {fitted(undoName(step), LANE.w - 48)}
      </text>
      <text className="sub" x={x + 38} y={BELOW + 39}>
        {failed
          ? `${counted(step.attempts.length, 'attempt')}, gave up`
          : open
            ? status(step.status).word.toLowerCase()
            : tookOf(step)}
      </text>
    </g>
  )
}

function UndoList({
  lane,
  planned,
  instance,
  cause,
  onSelect,
}: UndoTabProps & { lane: UndoLane<Step>; planned: PlannedUndo[]; cause: Step | null }) {
  return (
    <ol className="table undo-list" aria-label="Undo steps in their order">
      {lane.below.map((each, at) => (
        <li key={each.step.id} className="tr two">
          <span className={`ordn s-${each.step.status === 'faulted' ? 'faulted' : 'undo'}`}>
            {each.order}
          </span>
          <span className="two-line">
            <button type="button" className="bare t cut" onClick={() => onSelect(each.step.id)}>
              <bdi>{undoName(each.step)}</bdi>
            </button>
            <small className="cut">
              undoes <bdi>{each.undoes.name}</bdi>
            </small>
          </span>
          <span className="mid small cut">
            <CauseOf undo={each} before={lane.below[at - 1]} instance={instance} cause={cause} />
          </span>
          <span className="num quiet right small">
            {each.step.ended_at && <Time at={each.step.ended_at} fraction />}
          </span>
          <span className="right">
            <StateText state={status(each.step.status)}>
              {each.step.status === 'completed'
                ? 'Done'
                : each.step.status === 'faulted'
                  ? 'Gave up'
                  : undefined}
            </StateText>
          </span>
        </li>
      ))}
      {planned.map((each, at) => (
        <li key={`p${each.step}`} className="tr two is-planned">
          <span className="ordn s-pending">{lane.below.length + at + 1}</span>
          <span className="two-line">
            <b className="t cut">
              <bdi>{each.name}</bdi>
            </b>
            <small className="cut">
              {instance.compensation === 'none' ? 'a compensation would undo it' : 'will be undone'}
            </small>
          </span>
          <span />
          <span />
          <span />
        </li>
      ))}
    </ol>
  )
}

function CauseOf({
  undo,
  before,
  instance,
  cause,
}: {
  undo: LaneUndo<Step>
  before: LaneUndo<Step> | undefined
  instance: Instance
  cause: Step | null
}) {
  if (undo.step.status === 'faulted') {
    return <span className="tone s-faulted">{cut(errorLine(asError(undo.step.error)), 160)}</span>
  }
  if (before) {
    return (
      <>
        after <b>{undoName(before.step)}</b>{' '}
        {before.step.status === 'faulted' ? 'gave up' : 'was done'}
      </>
    )
  }
  if (instance.status === 'faulted' && cause) {
    return (
      <>
        because <b>{cut(cause.name, 60)}</b> faulted
      </>
    )
  }
  return (
    <>because {instance.status === 'cancelled' ? 'it was cancelled' : 'a person asked for it'}</>
  )
}
