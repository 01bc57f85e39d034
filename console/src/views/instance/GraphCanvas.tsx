/** The workflow's graph with the states of one instance, or with counts of many. */

import { type ReactNode, useId, useLayoutEffect, useMemo, useRef, useState } from 'react'
import {
  type Direction,
  type Edge,
  END,
  type Graph,
  type GraphNode,
  graph,
  type PlacedBlock,
  type PlacedNode,
  START,
} from '../../layout/graph'
import { fitted } from '../../ui/fit'
import { Icon, kindIcon, SvgIcon } from '../../ui/icons'
import { status, type Tone } from '../../words/states'
import type { FoldedNode, NodeState } from './model'

export interface NodeLook {
  state?: NodeState
  /** The second line, if it is not the task's own. */
  sub?: string
  badges?: { text: string; tone: Tone; label: string }[]
  /** Share of the running time, from 0 to 1. */
  heat?: number
}

interface GraphCanvasProps {
  nodes: FoldedNode[]
  look: (reference: string) => NodeLook | undefined
  selected: string | null
  onSelect: (reference: string) => void
  onFold: (reference: string) => void
  direction?: Direction
  label: string
  /** Nothing ran: a plain picture of the document. */
  plain?: boolean
  tools?: ReactNode
}

const MARGIN = 14
/** Above this the canvas draws only what is near the part in sight. */
const WINDOWED = 200
/** A graph is made smaller to this share at most; then it scrolls. */
const SMALLEST = 0.84

export function GraphCanvas(props: GraphCanvasProps) {
  const { nodes, direction = 'x', label, selected } = props
  const box = useRef<HTMLDivElement>(null)
  const placed = useMemo(() => graph(nodes, direction), [nodes, direction])
  const large = placed.nodes.length > WINDOWED
  const view = useView(box, large)
  const seen = useMemo(() => (large ? clip(placed, view) : placed), [placed, large, view])
  const markers = useId()
  const [w, h] = [placed.w + 2 * MARGIN, placed.h + 2 * MARGIN]
  return (
    <div className="canvas-frame">
      <section className="canvas" ref={box} tabIndex={0} aria-label={`Graph: ${label}`}>
        <svg
          className={`g ${large ? 'wide' : ''}`}
          role="group"
          aria-label={label}
          width={w}
          height={h}
          viewBox={`${-MARGIN} ${-MARGIN} ${w} ${h}`}
          style={{ minWidth: large ? w : w * SMALLEST }}
        >
          <Markers id={markers} />
          {seen.blocks.map((block) => (
            <Block key={block.node.reference} block={block} {...props} />
          ))}
          {seen.edges.map((edge) => (
            <EdgePath
              key={`${edge.from} ${edge.to} ${edge.label ?? ''} ${edge.kind}`}
              edge={edge}
              markers={markers}
              {...props}
            />
          ))}
          {seen.nodes.map((node) => (
            <NodeBox
              key={node.node.reference}
              placed={node}
              look={props.look(node.node.reference)}
              selected={selected === node.node.reference}
              plain={props.plain}
              onSelect={props.onSelect}
              onFold={props.onFold}
              reached={props.look}
            />
          ))}
        </svg>
      </section>
      {large && <Minimap placed={placed} box={box} view={view} />}
      {props.tools && <div className="tools">{props.tools}</div>}
    </div>
  )
}

interface View {
  left: number
  top: number
  right: number
  bottom: number
}

const EVERYTHING: View = { left: 0, top: 0, right: 1600, bottom: 1200 }

/** The part of a large graph that is in sight. */
function useView(box: React.RefObject<HTMLDivElement | null>, large: boolean): View {
  const [view, setView] = useState(EVERYTHING)
  useLayoutEffect(() => {
    const element = box.current
    if (!element || !large) return
    let frame = 0
    const read = () => {
      frame = 0
      setView({
        left: element.scrollLeft,
        top: element.scrollTop,
        right: element.scrollLeft + element.clientWidth,
        bottom: element.scrollTop + element.clientHeight,
      })
    }
    const plan = () => {
      frame ||= requestAnimationFrame(read)
    }
    read()
    element.addEventListener('scroll', plan, { passive: true })
    addEventListener('resize', plan)
    return () => {
      element.removeEventListener('scroll', plan)
      removeEventListener('resize', plan)
      cancelAnimationFrame(frame)
    }
  }, [box, large])
  return view
}

/** What is in sight, and one screen around it. */
function clip(placed: Graph, view: View): Graph {
  const [w, h] = [view.right - view.left, view.bottom - view.top]
  const near = (x: number, y: number, right: number, bottom: number) =>
    x < view.right + w && right > view.left - w && y < view.bottom + h && bottom > view.top - h
  const nodes = placed.nodes.filter((n) => near(n.x, n.y, n.x + n.w, n.y + n.h))
  const blocks = placed.blocks.filter((b) => near(b.x, b.y, b.x + b.w, b.y + b.h))
  const shown = new Set([...nodes, ...blocks].map((each) => each.node.reference))
  const edges = placed.edges.filter((edge) => shown.has(edge.from) || shown.has(edge.to))
  return { ...placed, nodes, blocks, edges }
}

function Minimap({
  placed,
  box,
  view,
}: {
  placed: Graph
  box: React.RefObject<HTMLDivElement | null>
  view: View
}) {
  const path = useMemo(
    () => placed.nodes.map((n) => `M${n.x} ${n.y}h${n.w}v${n.h}h${-n.w}z`).join(''),
    [placed],
  )
  const jump = (event: React.MouseEvent<SVGSVGElement>) => {
    const area = event.currentTarget.getBoundingClientRect()
    const element = box.current
    if (!element) return
    element.scrollLeft =
      ((event.clientX - area.left) / area.width) * placed.w - element.clientWidth / 2
    element.scrollTop =
      ((event.clientY - area.top) / area.height) * placed.h - element.clientHeight / 2
  }
  return (
    <svg
      className="minimap"
      viewBox={`0 0 ${placed.w} ${placed.h}`}
      preserveAspectRatio="none"
      aria-hidden="true"
      onClick={jump}
    >
      <path d={path} />
      <rect
        x={view.left}
        y={view.top}
        width={view.right - view.left}
        height={view.bottom - view.top}
      />
    </svg>
  )
}

function Markers({ id }: { id: string }) {
  const head = 'M0 .8L7.2 4 0 7.2z'
  const common = {
    viewBox: '0 0 8 8',
    refX: 7,
    refY: 4,
    markerWidth: 7,
    markerHeight: 7,
    orient: 'auto',
  }
  return (
    <defs>
      <marker id={`${id}a`} {...common}>
        <path className="cap" d={head} />
      </marker>
      <marker id={`${id}t`} {...common}>
        <path className="cap taken" d={head} />
      </marker>
    </defs>
  )
}

function EdgePath({
  edge,
  markers,
  look,
  plain,
}: {
  edge: Edge
  markers: string
  look: GraphCanvasProps['look']
  plain?: boolean
}) {
  const taken =
    (plain && edge.kind !== 'undo') || (isReached(edge.from, look) && isReached(edge.to, look))
  // A line that leaves a branch joins the others, and points nowhere of its own.
  const bare = edge.kind === 'undo' || edge.kind === 'join'
  const arrow = bare ? undefined : `url(#${markers}${taken ? 't' : 'a'})`
  const room = edge.label ? edge.label.length * 6 + 10 : 0
  return (
    <>
      <path className={`e e-${edge.kind} ${taken ? 'taken' : ''}`} d={edge.d} markerEnd={arrow} />
      {edge.label && edge.at && (
        <>
          <rect
            className="e-label-bg"
            x={edge.at.x - room / 2}
            y={edge.at.y - 8}
            width={room}
            height={16}
          />
          <text className="e-label" x={edge.at.x} y={edge.at.y + 4} textAnchor="middle">
            {fitted(edge.label, 90, 11)}
          </text>
        </>
      )}
    </>
  )
}

/** The start was reached by whatever ran; the end is told by `look` of its own name. */
function isReached(reference: string, look: GraphCanvasProps['look']): boolean {
  const state = look(reference)?.state
  return state !== undefined && state.status !== 'pending'
}

function Block({
  block,
  look,
  onFold,
  selected,
  onSelect,
}: GraphCanvasProps & { block: PlacedBlock }) {
  const { node, x, y, w, h, split } = block
  const own = look(node.reference)
  const tone = own?.state ? status(own.state.status).tone : null
  return (
    <g className={`${tone ? `s-${tone}` : ''} ${selected === node.reference ? 'is-on' : ''}`}>
      <rect className="block" x={x + 0.5} y={y + 0.5} width={w - 1} height={h - 1} rx="8" />
      {split !== null && <path className="split" d={`M${x + 8} ${split}H${x + w - 8}`} />}
      <g
        className="block-head"
        role="button"
        tabIndex={0}
        aria-label={`${node.name}, ${node.kind}: fold`}
        onClick={() => onFold(node.reference)}
        onDoubleClick={() => onSelect(node.reference)}
        onKeyDown={pressed(() => onFold(node.reference))}
      >
        <title>{`${node.name}\n${node.reference}`}</title>
        <rect className="hit" x={x} y={y} width={w} height={24} rx="8" />
        <SvgIcon name={kindIcon(node.kind)} x={x + 10} y={y + 7} size={12} />
        <text className="block-h" x={x + 28} y={y + 17}>
          <tspan fontWeight="600">{fitted(node.name, (w - 40) * 0.6, 11)}</tspan>{' '}
          {fitted(node.summary ?? node.kind, (w - 40) * 0.4, 11)}
        </text>
      </g>
      <Badges badges={own?.badges ?? []} right={x + w - 6} middle={y + 13} />
    </g>
  )
}

interface NodeProps {
  placed: PlacedNode
  look: NodeLook | undefined
  selected: boolean
  plain?: boolean
  onSelect: (reference: string) => void
  onFold: (reference: string) => void
  reached: GraphCanvasProps['look']
}

function NodeBox(props: NodeProps) {
  const { node } = props.placed
  if (node.reference === START || node.reference === END) return <Terminal {...props} />
  if (node.kind === 'undo') return <UndoPill {...props} />
  return <TaskBox {...props} />
}

function Terminal({ placed, reached, plain }: NodeProps) {
  const { node, x, y } = placed
  const taken = plain || isReached(node.reference, reached) ? 'taken' : ''
  return node.reference === START ? (
    <circle className={`cap ${taken}`} cx={x + 6} cy={y + 6} r="5" />
  ) : (
    <>
      <circle className={`cap ${taken}`} cx={x + 6} cy={y + 6} r="4" />
      <circle className={`e ${taken}`} cx={x + 6} cy={y + 6} r="6.5" />
    </>
  )
}

function TaskBox({ placed, look, selected, plain, onSelect, onFold }: NodeProps) {
  const { x, y, w, h } = placed
  const node: FoldedNode = placed.node
  const state = look?.state
  const shown = state && status(state.status)
  const classes = [
    'node',
    shown ? `s-${shown.tone}` : '',
    state?.status === 'completed' ? 'done' : '',
    !state && !plain ? 'todo' : '',
    selected ? 'is-on' : '',
    node.folded ? 'folded' : '',
  ]
  const act = () => (node.folded ? onFold(node.reference) : onSelect(node.reference))
  const badges = look?.badges ?? []
  const room = w - 42 - badges.reduce((sum, badge) => sum + 14 + badge.text.length * 7, 0)
  const sub = look?.sub ?? (node.folded ? `${node.kind}, ${node.folded} tasks` : node.summary)
  return (
    <g
      className={classes.join(' ')}
      role="button"
      tabIndex={0}
      aria-label={`${node.name}, ${shown?.word.toLowerCase() ?? node.kind}`}
      aria-pressed={selected}
      onClick={act}
      onKeyDown={pressed(act)}
    >
      <title>{`${node.name}\n${node.reference}`}</title>
      <rect className="b" x={x + 0.5} y={y + 0.5} width={w - 1} height={h - 1} rx="6" />
      {look?.heat !== undefined && look.heat > 0 && (
        <rect
          className="heat"
          x={x + 8}
          y={y + h - 4}
          width={Math.max(2, (w - 16) * look.heat)}
          height="3"
          rx="1.5"
        />
      )}
      <SvgIcon name={shown?.icon ?? kindIcon(node.kind)} x={x + 10} y={y + 12.5} size={15} />
      <text x={x + 32} y={y + 17}>
        {fitted(node.name, room)}
      </text>
      <text className="sub" x={x + 32} y={y + 31}>
        {fitted(sub ?? node.kind, room, 11)}
      </text>
      <Badges badges={badges} right={x + w - 7} middle={y + h / 2} />
    </g>
  )
}

function UndoPill({ placed, look, selected, onSelect }: NodeProps) {
  const { node, x, y, w, h } = placed
  const state = look?.state
  const failed = state?.status === 'faulted'
  const act = () => onSelect(node.reference)
  const classes = `undo-node ${state ? 'ran' : ''} ${state ? (failed ? 's-faulted' : 's-undo') : ''} ${selected ? 'is-on' : ''}`
  return (
    <g
      className={classes}
      role="button"
      tabIndex={0}
      aria-label={`Undo ${node.name}, ${state ? (failed ? 'failed' : state.status) : 'not run'}`}
      onClick={act}
      onKeyDown={pressed(act)}
    >
      <title>{`${node.name}\n${node.reference}`}</title>
      <rect className="b" x={x + 0.5} y={y + 0.5} width={w - 1} height={h - 1} rx="12" />
      <SvgIcon name={failed ? 'faulted' : 'undo'} x={x + 8} y={y + 6} size={12} />
      <text x={x + 25} y={y + 16}>
        {fitted(node.name, w - 50, 11)}
      </text>
      {state?.order && (
        <text x={x + w - 10} y={y + 16} textAnchor="end">
          {state.order}
        </text>
      )}
    </g>
  )
}

function Badges({
  badges,
  right,
  middle,
}: {
  badges: NonNullable<NodeLook['badges']>
  right: number
  middle: number
}) {
  let end = right
  return badges.map((badge) => {
    const w = 12 + badge.text.length * 7
    const x = end - w
    end = x - 4
    return (
      <g key={badge.tone} className={`badge s-${badge.tone}`}>
        <title>{badge.label}</title>
        <rect x={x} y={middle - 9} width={w} height="18" rx="9" />
        <text x={x + w / 2} y={middle + 4} textAnchor="middle">
          {badge.text}
        </text>
      </g>
    )
  })
}

const pressed = (act: () => void) => (event: React.KeyboardEvent) => {
  if (event.key !== 'Enter' && event.key !== ' ') return
  event.preventDefault()
  event.stopPropagation()
  act()
}

/** The same graph as a tree, for readers who can't see it or want it by name. */
export function GraphTree({
  nodes,
  look,
  selected,
  onSelect,
}: {
  nodes: GraphNode[]
  look: (reference: string) => NodeLook | undefined
  selected: string | null
  onSelect: (reference: string) => void
}) {
  return (
    <ul className="graph-tree" role="tree" aria-label="Tasks of the workflow">
      {nodes.map((node) => (
        <TreeItem key={node.reference} node={node} {...{ look, selected, onSelect }} level={1} />
      ))}
    </ul>
  )
}

function TreeItem({
  node,
  look,
  selected,
  onSelect,
  level,
}: {
  node: GraphNode
  look: (reference: string) => NodeLook | undefined
  selected: string | null
  onSelect: (reference: string) => void
  level: number
}) {
  const state = look(node.reference)?.state
  const shown = state && status(state.status)
  const below = [...(node.body ?? []), ...(node.branches ?? []).flat(), ...(node.catch ?? [])]
  return (
    <li
      role="treeitem"
      aria-level={level}
      aria-selected={selected === node.reference}
      aria-expanded={below.length ? true : undefined}
    >
      <button
        type="button"
        className={`tree-row ${shown ? `s-${shown.tone}` : ''}`}
        onClick={() => onSelect(node.reference)}
      >
        <Icon name={shown?.icon ?? kindIcon(node.kind)} size="s" />
        <bdi className="cut">{node.name}</bdi>
        <span className="quiet small cut">{shown?.word.toLowerCase() ?? 'not reached'}</span>
      </button>
      {below.length > 0 && (
        <ul role="group">
          {below.map((child) => (
            <TreeItem
              key={child.reference}
              node={child}
              {...{ look, selected, onSelect }}
              level={level + 1}
            />
          ))}
        </ul>
      )}
    </li>
  )
}
