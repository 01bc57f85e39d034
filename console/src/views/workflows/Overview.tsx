/** Where instances stand and what takes long: the graph as a heat map, and the same as a table. */

import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useMemo, useState } from 'react'
import { counts, sinceTime, statistics } from '../../api/queries'
import type { Statistics, TaskStatistics } from '../../api/types'
import { documentGraph } from '../../layout/documentGraph'
import type { GraphNode } from '../../layout/graph'
import { StateText } from '../../ui/basics'
import { Icon, kindIcon } from '../../ui/icons'
import { count, cut } from '../../words/numbers'
import { status, type Tone } from '../../words/states'
import { span } from '../../words/time'
import { GraphCanvas, type NodeLook } from '../instance/GraphCanvas'
import { fold } from '../instance/model'

interface OverviewProps {
  namespace: string
  name: string
  document: unknown
  since: string
  task: string | null
  onTask: (reference: string) => void
}

export function Overview(props: OverviewProps) {
  const { namespace, name, document, since, task, onTask } = props
  const navigate = useNavigate()
  const stats = useQuery(statistics(namespace, name, since)).data ?? null
  const nodes = useMemo(() => documentGraph(document), [document])
  const [toggled, setToggled] = useState<ReadonlySet<string>>(new Set())
  const folded = useMemo(() => fold(nodes, toggled, new Set()), [nodes, toggled])
  const byReference = useMemo(
    () => new Map(stats?.tasks.map((each) => [each.reference, each])),
    [stats],
  )
  const all = stats?.tasks.reduce((sum, each) => sum + each.total_ms, 0) ?? 0
  const look = (reference: string) => lookOf(byReference.get(reference), all)
  const open = (reference: string) => {
    const here = Object.keys(byReference.get(reference)?.here ?? {})
    if (!here.length) onTask(reference)
    else {
      void navigate({
        to: '/instances',
        search: { workflow: `${namespace}/${name}`, status: here.join(',') },
      })
    }
  }
  return (
    <section className="scroll grow" aria-label="Overview" tabIndex={0}>
      <Figures {...props} stats={stats} />
      <GraphCanvas
        nodes={folded}
        look={look}
        plain
        selected={task}
        onSelect={open}
        onFold={(reference) => {
          const next = new Set(toggled)
          if (!next.delete(reference)) next.add(reference)
          setToggled(next)
        }}
        label={`${namespace}/${name}`}
      />
      {stats ? (
        <>
          <p className="pad small mid">
            Badges count the instances that stand at a task now, in red the faults of the time
            range. The bar at a task's foot is its share of all running time.
          </p>
          <TaskTable nodes={nodes} stats={byReference} all={all} onOpen={open} />
        </>
      ) : (
        <Tasks nodes={nodes} />
      )}
    </section>
  )
}

function lookOf(stats: TaskStatistics | undefined, all: number): NodeLook | undefined {
  if (!stats) return undefined
  const badges = Object.entries(stats.here).map(([name, n]) => ({
    text: count(n),
    tone: status(name).tone,
    label: `${n} ${name}`,
  }))
  if (stats.faulted) {
    badges.push({ text: count(stats.faulted), tone: 'faulted', label: `${stats.faulted} faulted` })
  }
  const p95 = stats.p95_ms === null ? undefined : `p95 ${span(stats.p95_ms)}`
  return { badges, sub: p95, heat: all > 0 ? stats.total_ms / all : 0 }
}

/** The figures of the time range; without statistics, the counts by status. */
function Figures({ namespace, name, since, stats }: OverviewProps & { stats: Statistics | null }) {
  const counted = useQuery(
    counts({ workflow: `${namespace}/${name}`, started_after: sinceTime(since) }),
  ).data
  const of = (word: string) => counted?.items.find((each) => each.status === word)?.count ?? 0
  const total = counted?.items.reduce((sum, each) => sum + each.count, 0) ?? 0
  const figures: [string, string, Tone | null][] = stats
    ? [
        ['Started', count(stats.started), null],
        ['Completed', count(stats.completed), 'completed'],
        ['Waiting', count(stats.waiting), 'waiting'],
        ['Faulted', count(stats.faulted), 'faulted'],
        ['Undone', count(stats.undone), 'undo'],
        ['Median time', stats.median_ms === null ? 'none yet' : span(stats.median_ms), null],
      ]
    : [
        ['Started', count(total), null],
        ['Completed', count(of('completed')), 'completed'],
        ['Running', count(of('running')), 'running'],
        ['Waiting', count(of('waiting')), 'waiting'],
        ['Faulted', count(of('faulted')), 'faulted'],
        ['Cancelled', count(of('cancelled')), 'cancelled'],
      ]
  if (!counted) return <div className="stats" />
  return (
    <div className="stats">
      {figures.map(([label, value, tone]) => (
        <div key={label} className={`stat ${tone ? `s-${tone}` : ''}`}>
          {label}
          <b className="num">{value}</b>
        </div>
      ))}
    </div>
  )
}

function flat(nodes: GraphNode[]): GraphNode[] {
  return nodes.flatMap((node) => [
    node,
    ...flat([...(node.body ?? []), ...(node.branches ?? []).flat(), ...(node.catch ?? [])]),
  ])
}

function TaskTable({
  nodes,
  stats,
  all,
  onOpen,
}: {
  nodes: GraphNode[]
  stats: Map<string, TaskStatistics>
  all: number
  onOpen: (reference: string) => void
}) {
  return (
    <div className="table tasks-table" role="table" aria-label="Tasks">
      <div className="tr th" role="row">
        <span role="columnheader">Task</span>
        <span role="columnheader">Standing here now</span>
        {['Passed', 'Faulted', 'Retried', 'p50', 'p95'].map((word) => (
          <span key={word} role="columnheader" className="right">
            {word}
          </span>
        ))}
        <span role="columnheader">Share of time</span>
      </div>
      {flat(nodes).map((node) => {
        const own = stats.get(node.reference)
        return (
          own && (
            <div key={node.reference} className="tr" role="row">
              <span role="cell" className="st">
                <Icon name={kindIcon(node.kind)} size="s" />
                <button type="button" className="bare cut" onClick={() => onOpen(node.reference)}>
                  <bdi>{cut(node.name, 60)}</bdi>
                </button>
              </span>
              <span role="cell" className="open-counts">
                {Object.entries(own.here).map(([name, n]) => (
                  <StateText key={name} state={status(name)}>
                    {count(n)} {name}
                  </StateText>
                ))}
              </span>
              <span role="cell" className="right num">
                {count(own.passed)}
              </span>
              <span role="cell" className={`right num ${own.faulted ? 'tone s-faulted' : 'quiet'}`}>
                {count(own.faulted)}
              </span>
              <span role="cell" className={`right num ${own.retried ? 'tone s-retry' : 'quiet'}`}>
                {count(own.retried)}
              </span>
              <span role="cell" className="right num mid">
                {own.p50_ms === null ? '' : span(own.p50_ms)}
              </span>
              <span role="cell" className="right num mid">
                {own.p95_ms === null ? '' : span(own.p95_ms)}
              </span>
              <span role="cell" className="share">
                <span className="meter">
                  <i style={{ width: `${all ? (own.total_ms / all) * 100 : 0}%` }} />
                </span>
                <span className="num mid">
                  {all ? Math.round((own.total_ms / all) * 100) : 0} %
                </span>
              </span>
            </div>
          )
        )
      })}
    </div>
  )
}

/** The tasks alone, where the API has no statistics. */
function Tasks({ nodes }: { nodes: GraphNode[] }) {
  return (
    <div className="table plain-tasks" role="table" aria-label="Tasks">
      <div className="tr th" role="row">
        <span role="columnheader">Task</span>
        <span role="columnheader">Does</span>
        <span role="columnheader">Undone by</span>
      </div>
      {flat(nodes).map((node) => (
        <div key={node.reference} className="tr" role="row">
          <span role="cell" className="st">
            <Icon name={kindIcon(node.kind)} size="s" />
            <bdi className="cut">{cut(node.name, 60)}</bdi>
          </span>
          <span role="cell" className="mid cut">
            <bdi>{cut(node.summary ?? node.kind, 120)}</bdi>
          </span>
          <span role="cell" className="mid cut">
            <bdi>{node.undo ? cut(node.undo.name, 60) : ''}</bdi>
          </span>
        </div>
      ))}
    </div>
  )
}
