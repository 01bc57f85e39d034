/** The body of an instance's page: banner, graph, timeline and the side panel. */

import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useCallback, useMemo, useRef, useState } from 'react'
import { instance as instanceQuery } from '../../api/queries'
import type { Instance, Step } from '../../api/types'
import { total } from '../../layout/account'
import { documentGraph } from '../../layout/documentGraph'
import { END, START } from '../../layout/graph'
import { useKeys } from '../../shell/keys'
import { Id, Segments, Tabs, Tag } from '../../ui/basics'
import { TimeAndAge, useNow } from '../../ui/clock'
import { Failed, Loading } from '../../ui/states'
import { count } from '../../words/numbers'
import { span } from '../../words/time'
import type { ActionName } from '../repair/actions'
import { AccountStrip } from './AccountStrip'
import { Banners } from './Banners'
import { DataTab } from './DataTab'
import { EventsTab } from './EventsTab'
import { GraphCanvas, GraphTree, type NodeLook } from './GraphCanvas'
import { HistoryTab } from './HistoryTab'
import {
  fold,
  type NodeState,
  nextError,
  nodeStates,
  type Only,
  quietTasks,
  rootCause,
  rows,
  tally,
} from './model'
import { SidePanel } from './SidePanel'
import { StepActions } from './StepActions'
import { Definition, PanelHead, StepPanel } from './StepPanel'
import type { InstanceSearch, Tab } from './search'
import { Timeline } from './Timeline'
import { UndoTab } from './UndoTab'

const FINAL = ['completed', 'faulted', 'cancelled']
const NO_STEPS: Step[] = []

interface BodyProps {
  instance: Instance
  steps: Step[] | null
  stepsError: unknown
  document: unknown
  search: InstanceSearch
  setSearch: (change: Partial<InstanceSearch>, replace?: boolean) => void
  onAct?: (action: ActionName, step?: number) => void
}

export function InstanceBody(props: BodyProps) {
  const { instance, stepsError, document, search, setSearch, onAct } = props
  const steps = props.steps ?? NO_STEPS
  const tab = search.tab ?? 'timeline'
  const select = useCallback(
    (step: number | undefined) => setSearch({ step, task: undefined }, true),
    [setSearch],
  )
  const chosen = steps.find((step) => step.id === search.step)
  const reference = chosen?.reference ?? search.task ?? null
  const order = steps.map((step) => step.id)
  const at = search.step === undefined ? -1 : order.indexOf(search.step)
  useKeys([
    {
      keys: '[',
      does: 'Step before',
      group: 'Instance',
      run: () => select(order[Math.max(0, at - 1)]),
    },
    {
      keys: ']',
      does: 'Step after',
      group: 'Instance',
      run: () => select(order[at + 1] ?? order[at]),
    },
    {
      keys: 'e',
      does: 'Next error',
      group: 'Instance',
      run: () => select(nextError(steps, search.step ?? null) ?? undefined),
    },
    {
      keys: 't',
      does: 'Timeline or history',
      group: 'Instance',
      run: () => setSearch({ tab: tab === 'timeline' ? 'history' : 'timeline' }, true),
    },
    { keys: 'Escape', does: 'Close the panel', group: 'Instance', run: () => select(undefined) },
  ])
  const undoable =
    instance.compensation !== 'none' || steps.some((step) => step.compensates !== null)
  const hasPanel = chosen || search.task
  return (
    <div className="body">
      <div className="grow column">
        {tab === 'undo' ? (
          <UndoTab
            instance={instance}
            steps={steps}
            document={document}
            selected={search.step ?? null}
            onSelect={select}
            onAct={onAct}
            onBack={() => setSearch({ tab: undefined })}
          />
        ) : (
          <Run
            {...props}
            steps={steps}
            reference={reference}
            tab={tab}
            select={select}
            undoable={undoable}
            loading={props.steps === null && !stepsError}
          />
        )}
      </div>
      {hasPanel && (
        <SidePanel>
          {chosen ? (
            <StepPanel
              key={chosen.id}
              instance={instance.id}
              step={chosen}
              steps={steps}
              document={document}
              onClose={() => select(undefined)}
              onSelect={select}
              actions={onAct && <StepActions instance={instance} step={chosen} onAct={onAct} />}
            />
          ) : (
            <>
              <PanelHead
                name={lastName(search.task ?? '')}
                reference={search.task ?? ''}
                onClose={() => setSearch({ task: undefined }, true)}
              />
              <div className="chips">
                <span className="chip plain s-pending">Not reached</span>
              </div>
              <section className="inside scroll grow" tabIndex={0} aria-label="Definition">
                <Definition document={document} reference={search.task ?? ''} />
              </section>
            </>
          )}
        </SidePanel>
      )}
    </div>
  )
}

const lastName = (pointer: string): string =>
  (
    pointer
      .replace(/\/metadata\/compensate$/, '')
      .split('/')
      .at(-1) ?? ''
  )
    .replace(/~1/g, '/')
    .replace(/~0/g, '~')

interface RunProps extends Omit<BodyProps, 'steps'> {
  steps: Step[]
  reference: string | null
  tab: Tab
  select: (step: number | undefined) => void
  undoable: boolean
  loading: boolean
}

function Run(props: RunProps) {
  const { instance, steps, stepsError, search, setSearch, tab, select, undoable } = props
  const scroller = useRef<HTMLDivElement>(null)
  const ticking = useNow()
  const final = FINAL.includes(instance.status)
  // What has ended does not tick; a running picture moves each second.
  const now = final && instance.ended_at ? Date.parse(instance.ended_at) : ticking
  const counts = useMemo(() => tally(steps), [steps])
  const [toggled, setToggled] = useState<ReadonlySet<number>>(new Set())
  const quiet = useMemo(() => quietTasks(props.document), [props.document])
  const { find = '', only = '' } = search
  const selected = search.step ?? null
  const shown = useMemo(
    () => rows(steps, { toggled, find, quiet, selected, only: only === 'all' ? '' : only }),
    [steps, toggled, only, find, quiet, selected],
  )
  const range = rangeOf(search.range)
  const cause = rootCause(steps)
  const toggle = (step: number) => {
    const next = new Set(toggled)
    if (!next.delete(step)) next.add(step)
    setToggled(next)
  }
  return (
    <div className="scroll grow" ref={scroller}>
      <div className="summary">
        <SummaryLine instance={instance} now={now} />
        <Banners
          {...props}
          cause={cause}
          onUndo={undoable ? () => setSearch({ tab: 'undo' }) : undefined}
        />
      </div>
      {stepsError ? (
        <div className="pad">
          <Failed error={stepsError} />
        </div>
      ) : (
        <GraphPart {...props} />
      )}
      <Tabs
        label="Parts of the instance"
        value={tab}
        onChange={(next) => setSearch({ tab: next === 'timeline' ? undefined : next })}
        options={[
          {
            value: 'timeline',
            text: 'Timeline',
            count: steps.length > 20 ? count(steps.length) : undefined,
          },
          { value: 'history', text: 'History' },
          { value: 'data', text: 'Data' },
          { value: 'events', text: 'Events and children' },
          ...(undoable ? [{ value: 'undo' as const, text: 'Undo' }] : []),
        ]}
        side={
          tab === 'timeline' && (
            <>
              {steps.length > 12 && <StepFilter search={search} setSearch={setSearch} />}
              <Segments
                label="Scale"
                value={search.order ? 'order' : 'time'}
                options={[
                  { value: 'time', text: 'Time' },
                  { value: 'order', text: 'Order' },
                ]}
                onChange={(value) => setSearch({ order: value === 'order' || undefined }, true)}
              />
            </>
          )
        }
      />
      {tab === 'timeline' && (
        <>
          {steps.length > 12 && (
            <OnlyBar
              only={search.only ?? ''}
              counts={counts}
              onChange={(only) => setSearch({ only: only || undefined }, true)}
            />
          )}
          {props.loading ? (
            <Loading rows={6} />
          ) : (
            <Timeline
              rows={shown}
              steps={steps}
              now={now}
              order={Boolean(search.order)}
              range={range}
              selected={search.step ?? null}
              scroller={scroller}
              undoBecause={cause && instance.status === 'faulted' ? cause.name : null}
              onSelect={(step) => select(step)}
              onToggle={toggle}
              onRange={(next) =>
                setSearch({ range: next ? `${next.from}-${next.to}` : undefined }, true)
              }
            />
          )}
          {range && (
            <p className="pad small quiet">
              Only a part of {span(total(instance, now))} is shown.{' '}
              <button
                type="button"
                className="link bare"
                onClick={() => setSearch({ range: undefined }, true)}
              >
                Show all
              </button>
            </p>
          )}
          {steps.length > 0 && (
            <AccountStrip steps={steps} total={total(instance, now)} now={now} />
          )}
        </>
      )}
      {tab === 'history' && (
        <HistoryTab
          instance={instance.id}
          steps={steps}
          selected={search.step ?? null}
          onSelect={select}
          scroller={scroller}
        />
      )}
      {tab === 'data' && <DataTab instance={instance} />}
      {tab === 'events' && <EventsTab instance={instance} steps={steps} />}
    </div>
  )
}

function rangeOf(text: string | undefined): { from: number; to: number } | null {
  const [from, to] = (text ?? '').split('-').map(Number)
  return from !== undefined && to !== undefined && to > from ? { from, to } : null
}

function SummaryLine({ instance, now }: { instance: Instance; now: number }) {
  const { namespace, name, version } = instance.workflow
  const { parent } = instance
  return (
    <div className="summary-line num mid">
      <span className="cut">
        <Link
          className="link"
          to="/workflows/$namespace/$name"
          params={{ namespace, name }}
          search={{ version }}
        >
          <bdi>
            {namespace}/{name}
          </bdi>
        </Link>{' '}
        {version}
      </span>
      <Id id={instance.id} />
      <span>
        {instance.started_at ? (
          <>
            Started <TimeAndAge at={instance.started_at} />
          </>
        ) : (
          <>
            Created <TimeAndAge at={instance.created_at} />
          </>
        )}
      </span>
      {instance.ended_at && <span>Took {span(total(instance, now))}</span>}
      <span>Run {instance.run}</span>
      {parent && <ParentLink parent={parent.instance} step={parent.step} />}
      {Object.entries(instance.labels).map(([label, value]) => (
        <Tag key={label} name={label} value={value} />
      ))}
      {instance.pending_commands > 0 && (
        <span className="tone s-retry">{instance.pending_commands} undecided commands</span>
      )}
    </div>
  )
}

function ParentLink({ parent, step }: { parent: string; step: number }) {
  const found = useQuery(instanceQuery(parent)).data?.value
  return (
    <span className="cut">
      Started by{' '}
      <Link className="link" to="/instances/$id" params={{ id: parent }} search={{ step }}>
        <bdi>{found?.business_id ?? parent}</bdi>
      </Link>
    </span>
  )
}

function OnlyBar({
  only,
  counts,
  onChange,
}: {
  only: Only
  counts: Record<Exclude<Only, ''>, number>
  onChange: (only: Only) => void
}) {
  return (
    <div className="only-bar">
      <Segments<Only>
        label="Which steps"
        value={only === 'all' ? '' : only}
        options={[
          { value: '', text: `All ${count(counts.all)}` },
          { value: 'standout', text: `What stands out ${count(counts.standout)}` },
          { value: 'running', text: `Open ${count(counts.running)}` },
          { value: 'retried', text: `Tried again ${count(counts.retried)}` },
          { value: 'faulted', text: `Faulted ${count(counts.faulted)}` },
        ]}
        onChange={onChange}
      />
    </div>
  )
}

function StepFilter({ search, setSearch }: Pick<BodyProps, 'search' | 'setSearch'>) {
  return (
    <input
      className="input step-filter"
      data-filter
      aria-label="Step, turn or error"
      placeholder="Step, [turn] or error"
      value={search.find ?? ''}
      maxLength={200}
      onChange={(event) => setSearch({ find: event.target.value || undefined }, true)}
    />
  )
}

function GraphPart({ instance, steps, document, reference, select, setSearch }: RunProps) {
  const nodes = useMemo(() => documentGraph(document), [document])
  const states = useMemo(() => nodeStates(steps), [steps])
  const [toggled, setToggled] = useState<ReadonlySet<string>>(new Set())
  const [tree, setTree] = useState(false)
  const keep = useMemo(() => {
    const open = [...states].filter(([, state]) => state.status === 'faulted').map(([name]) => name)
    return new Set(reference ? [...open, reference] : open)
  }, [states, reference])
  const folded = useMemo(() => fold(nodes, toggled, keep), [nodes, toggled, keep])
  const look = (name: string): NodeLook | undefined => lookOf(name, states, instance)
  const choose = (name: string) => {
    const step = states.get(name)?.step
    if (step !== undefined) select(step)
    else setSearch({ task: name, step: undefined }, true)
  }
  if (!nodes.length) return <div className="canvas-frame is-empty" />
  return (
    <>
      <GraphCanvas
        nodes={folded}
        look={look}
        selected={reference}
        onSelect={choose}
        onFold={(name) => {
          const next = new Set(toggled)
          if (!next.delete(name)) next.add(name)
          setToggled(next)
        }}
        label={`${instance.workflow.namespace}/${instance.workflow.name} ${instance.workflow.version}, with the states of this instance`}
        tools={
          <button
            type="button"
            className="btn s quiet"
            aria-pressed={tree}
            onClick={() => setTree(!tree)}
          >
            {tree ? 'Graph only' : 'As a tree'}
          </button>
        }
      />
      {tree && <GraphTree nodes={nodes} look={look} selected={reference} onSelect={choose} />}
    </>
  )
}

function lookOf(
  name: string,
  states: Map<string, NodeState>,
  instance: Instance,
): NodeLook | undefined {
  if (name === START) return instance.started_at ? reachedEnd() : undefined
  if (name === END) return instance.status === 'completed' ? reachedEnd() : undefined
  const state = states.get(name)
  if (!state) return undefined
  const badges: NonNullable<NodeLook['badges']> = []
  const open =
    (state.counts.running ?? 0) + (state.counts.waiting ?? 0) + (state.counts.pending ?? 0)
  if (state.steps > 1 && open)
    badges.push({ text: count(open), tone: 'running', label: `${open} open` })
  if (state.retried) {
    badges.push({
      text: count(state.retried),
      tone: 'retry',
      label: `${state.retried} tried again`,
    })
  }
  const faulted = state.counts.faulted ?? 0
  if (state.steps > 1 && faulted)
    badges.push({ text: count(faulted), tone: 'faulted', label: `${faulted} faulted` })
  const done = state.counts.completed ?? 0
  const sub = state.steps > 1 ? `${count(done)} of ${count(state.steps)}` : undefined
  return { state, sub, badges: state.steps > 1 ? badges : [] }
}

const reachedEnd = (): NodeLook => ({
  state: { status: 'completed', step: 0, steps: 1, counts: {}, retried: 0 },
})
