/** What the instance's pictures show, derived from its steps. Pure: no clock, no DOM. */

import type { GraphNode } from '../../layout/graph'

export interface ModelStep {
  id: number
  parent: number
  reference: string
  name: string
  kind: string
  index: number | null
  status: string
  outcome: string | null
  compensates: number | null
  started_at: string | null
  ended_at: string | null
  retry_at: string | null
  error: unknown
  attempts: { state: string; number: number }[]
}

// ---------------------------------------------------------------- states of the graph's nodes

export interface NodeState {
  status: string
  /** The step that a click on the node chooses. */
  step: number
  /** How many steps ran this task, and how many have each status. */
  steps: number
  counts: Record<string, number>
  retried: number
  /** Of an undo: its place in the order in which undo steps ran, from 1. */
  order?: number
}

const OPEN = ['faulted', 'suspended', 'running', 'waiting', 'pending']
const isOpen = (status: string): boolean =>
  ['running', 'waiting', 'suspended', 'pending'].includes(status)

/** Return the state of every task that was reached: the worst open one, else the last. */
export function nodeStates(steps: ModelStep[]): Map<string, NodeState> {
  const states = new Map<string, NodeState>()
  let order = 0
  for (const step of steps) {
    const state = states.get(step.reference)
    const isRoot = step.compensates !== null
    if (isRoot) order += 1
    if (!state) {
      states.set(step.reference, {
        status: step.status,
        step: step.id,
        steps: 1,
        counts: { [step.status]: 1 },
        retried: triedAgain(step) ? 1 : 0,
        ...(isRoot && { order }),
      })
      continue
    }
    state.steps += 1
    state.counts[step.status] = (state.counts[step.status] ?? 0) + 1
    if (triedAgain(step)) state.retried += 1
    if (leads(step.status, state.status)) {
      state.status = step.status
      state.step = step.id
    }
  }
  return states
}

/** Whether a later step's status is shown instead of the one before. */
function leads(later: string, before: string): boolean {
  if (!isOpen(before)) return true
  return isOpen(later) && OPEN.indexOf(later) <= OPEN.indexOf(before)
}

/** ` [3]` of a loop's turn; the number of a fork's branch says nothing that its name does not. */
export const turnOf = (step: { index: number | null; reference: string }): string =>
  step.index === null || /\/branches\/\d+\/[^/]+$/.test(step.reference) ? '' : ` [${step.index}]`

export const triedAgain = (step: { attempts: unknown[] }): boolean => step.attempts.length > 1

// ---------------------------------------------------------------- rows of the timeline

export type Row<S> =
  | { kind: 'step'; step: S; depth: number; children: number; open: boolean }
  | { kind: 'strip'; step: S; depth: number; turns: S[]; open: boolean }
  | { kind: 'undo' }
  | { kind: 'more'; step: S; depth: number; hidden: number }

export type Only = '' | 'standout' | 'running' | 'retried' | 'faulted' | 'all'

export interface RowsOptions {
  /** Steps that the reader folded or opened, against the rule. */
  toggled: ReadonlySet<number>
  only: Only
  /** Part of a step's name, error or `[turn]`. */
  find: string
  /** References of tasks with `metadata.display: quiet`. */
  quiet: ReadonlySet<string>
  selected: number | null
}

/** Loops of more turns are a strip, and below it only what stands out. */
export const MOST_TURNS = 50
const SLOWEST = 3

/** Return the rows in tree order, the undo steps last under a heading of their own. */
export function rows<S extends ModelStep>(steps: S[], options: RowsOptions): Row<S>[] {
  const children = new Map<number, S[]>()
  const ids = new Set(steps.map((step) => step.id))
  for (const step of steps) {
    if (step.compensates !== null) continue
    const parent = ids.has(step.parent) ? step.parent : 0
    const siblings = children.get(parent)
    if (siblings) siblings.push(step)
    else children.set(parent, [step])
  }
  const undo = steps.filter((step) => step.compensates !== null)
  if (options.only || options.find) return flat(steps, undo, options)
  const out: Row<S>[] = []
  const walk = (step: S, depth: number): void => {
    const below = children.get(step.id) ?? []
    if (step.kind === 'for' && below.length > MOST_TURNS) {
      addLoop(step, below, depth, options, out, walk)
      return
    }
    const folded = options.quiet.has(step.reference) !== options.toggled.has(step.id)
    out.push({ kind: 'step', step, depth, children: below.length, open: !folded })
    if (!folded) for (const child of below) walk(child, depth + 1)
  }
  for (const step of children.get(0) ?? []) walk(step, 0)
  if (undo.length) {
    out.push({ kind: 'undo' })
    for (const step of undo) walk(step, 0)
  }
  return out
}

function addLoop<S extends ModelStep>(
  step: S,
  turns: S[],
  depth: number,
  options: RowsOptions,
  out: Row<S>[],
  walk: (step: S, depth: number) => void,
): void {
  const open = options.toggled.has(step.id)
  out.push({ kind: 'strip', step, depth, turns, open })
  const shown = open ? turns : standouts(turns, options.selected)
  for (const turn of shown) walk(turn, depth + 1)
  const hidden = turns.length - shown.length
  if (hidden > 0) out.push({ kind: 'more', step, depth: depth + 1, hidden })
}

/** The turns that stand out: open, faulted, tried again, chosen, and the slowest. */
export function standouts<S extends ModelStep>(turns: S[], selected: number | null): S[] {
  const slow = new Set(
    turns
      .filter((turn) => turn.ended_at)
      .sort((a, b) => took(b) - took(a))
      .slice(0, SLOWEST)
      .map((turn) => turn.id),
  )
  return turns
    .filter((turn) => turn.id === selected || slow.has(turn.id) || standsOut(turn))
    .slice(0, 200)
}

export const standsOut = (step: ModelStep): boolean =>
  step.status === 'faulted' || isOpen(step.status) || triedAgain(step)

const took = (step: ModelStep): number =>
  step.started_at && step.ended_at ? Date.parse(step.ended_at) - Date.parse(step.started_at) : 0

/** Without a tree: every step that a filter chooses. */
function flat<S extends ModelStep>(steps: S[], undo: S[], options: RowsOptions): Row<S>[] {
  const chosen = steps.filter((step) => matches(step, options))
  const undoing = new Set(undo.map((step) => step.id))
  const row = (step: S): Row<S> => ({ kind: 'step', step, depth: 0, children: 0, open: true })
  const forward = chosen.filter((step) => !undoing.has(step.id)).map(row)
  const backward = chosen.filter((step) => undoing.has(step.id)).map(row)
  return backward.length ? [...forward, { kind: 'undo' }, ...backward] : forward
}

function matches(step: ModelStep, { only, find }: RowsOptions): boolean {
  if (only === 'standout' && !standsOut(step)) return false
  if (only === 'running' && !isOpen(step.status)) return false
  if (only === 'retried' && !triedAgain(step)) return false
  if (only === 'faulted' && step.status !== 'faulted') return false
  return !find || found(step, find.toLowerCase())
}

function found(step: ModelStep, find: string): boolean {
  const turn = step.index === null ? '' : `[${step.index}]`
  const text = `${step.name} ${turn} ${step.status} ${step.kind}`.toLowerCase()
  return (
    text.includes(find) ||
    JSON.stringify(step.error ?? '')
      .toLowerCase()
      .includes(find)
  )
}

export function tally(steps: ModelStep[]): Record<Exclude<Only, ''>, number> {
  return {
    all: steps.length,
    standout: steps.filter(standsOut).length,
    running: steps.filter((step) => isOpen(step.status)).length,
    retried: steps.filter(triedAgain).length,
    faulted: steps.filter((step) => step.status === 'faulted').length,
  }
}

// ---------------------------------------------------------------- faults

/** The step whose own fault ended the instance: the innermost one, not the blocks around it. */
export function rootCause<S extends ModelStep>(steps: S[]): S | null {
  const faulted = steps.filter((step) => step.status === 'faulted' && step.compensates === null)
  const parents = new Set(faulted.map((step) => step.parent))
  const leaves = faulted.filter((step) => !parents.has(step.id))
  return leaves.at(-1) ?? faulted.at(-1) ?? null
}

/** The next step with an error after the chosen one, around the end. */
export function nextError(steps: ModelStep[], selected: number | null): number | null {
  const bad = steps.filter((step) => step.status === 'faulted' || standsOutByLoss(step))
  const after = bad.find((step) => step.id > (selected ?? 0)) ?? bad[0]
  return after?.id ?? null
}

const standsOutByLoss = (step: ModelStep): boolean =>
  step.attempts.some((attempt) => attempt.state === 'lost' || attempt.state === 'failed')

// ---------------------------------------------------------------- folding a large graph

export const MOST_NODES = 60

export interface FoldedNode extends GraphNode {
  /** How many tasks are inside the folded block. */
  folded?: number
}

export function countNodes(nodes: GraphNode[]): number {
  return nodes.reduce((sum, node) => sum + 1 + inside(node), 0)
}

const lists = (node: GraphNode): GraphNode[][] => [
  ...(node.body ? [node.body] : []),
  ...(node.branches ?? []),
  ...(node.catch ? [node.catch] : []),
]

const inside = (node: GraphNode): number =>
  lists(node).reduce((sum, list) => sum + countNodes(list), 0)

/**
 * Fold blocks of a graph: those that the reader folded, and in a large one all that neither hold
 * an open reference nor were opened.
 */
export function fold(
  nodes: GraphNode[],
  toggled: ReadonlySet<string>,
  keep: ReadonlySet<string>,
): FoldedNode[] {
  const large = countNodes(nodes) > MOST_NODES
  const walk = (node: GraphNode): FoldedNode => {
    if (!lists(node).length) return node
    const byRule =
      large && ![...keep].some((reference) => reference.startsWith(`${node.reference}/`))
    if (byRule !== toggled.has(node.reference)) {
      const { body: _, branches: __, catch: ___, ...rest } = node
      return { ...rest, folded: inside(node) }
    }
    return {
      ...node,
      body: node.body?.map(walk),
      branches: node.branches?.map((branch) => branch.map(walk)),
      catch: node.catch?.map(walk),
    }
  }
  return nodes.map(walk)
}

/** References of the tasks that a document marks as quiet. */
export function quietTasks(document: unknown): Set<string> {
  const found = new Set<string>()
  const walk = (value: unknown, pointer: string): void => {
    if (typeof value !== 'object' || value === null) return
    const metadata = (value as Record<string, unknown>).metadata
    if (isQuiet(metadata)) found.add(pointer)
    for (const [key, each] of Object.entries(value)) {
      walk(each, `${pointer}/${key.replace(/~/g, '~0').replace(/\//g, '~1')}`)
    }
  }
  if (typeof document === 'object' && document !== null) {
    walk((document as Record<string, unknown>).do, '/do')
  }
  return found
}

const isQuiet = (metadata: unknown): boolean =>
  typeof metadata === 'object' &&
  metadata !== null &&
  (metadata as Record<string, unknown>).display === 'quiet'
