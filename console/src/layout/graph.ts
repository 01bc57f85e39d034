/**
 * Layout of a workflow's graph: from nested blocks to boxes and paths, without a DOM.
 *
 * A workflow is structured, so no general layout is needed. Two passes in linear time: `measure`
 * gives each block its size and its axis (where the flow crosses it), `place` gives positions and
 * paths. Jumps (cases of a switch, `then`) become arcs in lanes above their sequence.
 */

export type Direction = 'x' | 'y'

/** A task as `GET .../graph` gives it; `reference` is its JSON pointer. */
export interface GraphNode {
  reference: string
  name: string
  kind: string
  summary?: string
  body?: GraphNode[]
  branches?: GraphNode[][]
  catch?: GraphNode[]
  cases?: { name: string; when?: string; then: string }[]
  then?: string
  undo?: { name: string; reference: string; summary?: string }
  /** Size of a drawn node, if it is not a task's. */
  w?: number
  h?: number
}

export interface PlacedNode {
  node: GraphNode
  x: number
  y: number
  w: number
  h: number
}

export interface PlacedBlock extends PlacedNode {
  /** Where the line between the body and the catch of a `try` is, across the flow. */
  split: number | null
}

export interface Point {
  x: number
  y: number
}

export interface Edge {
  d: string
  kind: 'next' | 'jump' | 'back' | 'fork' | 'join' | 'undo'
  from: string
  to: string
  label?: string
  at?: Point
}

export interface Graph {
  w: number
  h: number
  nodes: PlacedNode[]
  blocks: PlacedBlock[]
  edges: Edge[]
}

/** Sizes in px. */
export const G = {
  w: 134,
  h: 40,
  gap: 24, // along the flow: room for an arrow
  lane: 14, // across the flow: between branches
  pad: 12,
  head: 26, // header of a block
  undo: 24,
  undoGap: 14,
  undoW: 112, // a compensation, beside its task
  arc: 18, // height of one lane of jumps
  r: 6, // radius of an elbow
} as const

export const START = '^'
export const END = '$'

/** Lay out a workflow's tasks, left to right (`x`) or top to bottom (`y`). */
export function graph(nodes: GraphNode[], dir: Direction = 'x'): Graph {
  const root = sequence(withEnds(nodes), dir)
  const out: Graph = { w: root.w, h: root.h, nodes: [], blocks: [], edges: [] }
  place(root, 0, 0, dir, out)
  return out
}

const withEnds = (nodes: GraphNode[]): GraphNode[] => [
  { kind: 'start', name: 'start', reference: START, w: 12, h: 12 },
  ...nodes,
  { kind: 'end', name: 'end', reference: END, w: 12, h: 12 },
]

interface Jump {
  from: number
  to: number
  label?: string
  straight?: boolean
  only?: boolean
  lane?: number
}

interface Sequence {
  w: number
  h: number
  axis: number
  items: Item[]
  jumps: Jump[]
  top: number
  shift?: number
}

interface Item {
  node: GraphNode
  w: number
  h: number
  axis: number
  bw: number
  bh: number
  along?: number
  lanes?: Sequence[]
  room?: number
  fork?: boolean
}

/** Size of one node; `axis` is where the flow enters, measured across the flow. */
function measure(node: GraphNode, dir: Direction): Item {
  if (node.body || node.branches) return block(node, dir)
  const w = node.w ?? G.w
  const h = node.h ?? G.h
  const box: Item = { node, w, h, axis: (dir === 'x' ? h : w) / 2, bw: w, bh: h }
  // The compensation hangs across the flow: below its task, or to the right of it.
  if (node.undo && dir === 'x') box.h += G.undoGap + G.undo
  if (node.undo && dir === 'y') box.w += G.undoGap + G.undoW
  return box
}

/** for, do, try: one sequence in a frame (try: its catch below). fork: branches side by side. */
function block(node: GraphNode, dir: Direction): Item {
  const fork = Boolean(node.branches)
  const lists = node.branches ?? [node.body ?? [], ...(node.catch ? [node.catch] : [])]
  const lanes = lists.map((list) => sequence(list, dir))
  const gap = fork ? G.lane : G.lane + 12
  const room = fork ? 20 : 0 // for the elbows that fan out and in
  const along = Math.max(0, ...lanes.map((lane) => (dir === 'x' ? lane.w : lane.h)))
  let across = 0
  for (const lane of lanes) {
    lane.shift = across
    across += (dir === 'x' ? lane.h : lane.w) + gap
  }
  across -= gap
  // A header needs room for its words, however small its content is.
  const w = Math.max((dir === 'x' ? along + 2 * room : across) + 2 * G.pad, 110)
  const h = (dir === 'x' ? across : along + 2 * room) + G.pad + G.head
  const first = axisOf(lanes[0])
  const last = axisOf(lanes.at(-1))
  const inner = fork ? (first + last) / 2 : first
  const axis = inner + (dir === 'x' ? G.head : G.pad)
  return { node, w, h, axis, bw: w, bh: h, lanes, room, fork }
}

const axisOf = (lane: Sequence | undefined): number => (lane?.shift ?? 0) + (lane?.axis ?? 0)

/** A list of tasks along one axis, and above it the lanes of its jumps (switch, then). */
function sequence(list: GraphNode[], dir: Direction): Sequence {
  const items = list.map((node) => measure(node, dir))
  const jumps = findJumps(list)
  const lanes = colour(jumps)
  const top = lanes * G.arc + (lanes ? 6 : 0)
  const axis = Math.max(0, ...items.map((item) => item.axis)) + top
  const under = Math.max(0, ...items.map((item) => (dir === 'x' ? item.h : item.w) - item.axis))
  let along = 0
  for (const item of items) {
    item.along = along
    along += (dir === 'x' ? item.w : item.h) + G.gap
    // A label on the straight edge needs more room.
    if (item.node.cases && dir === 'x') along += 34
  }
  along = Math.max(0, along - G.gap)
  return dir === 'x'
    ? { w: along, h: axis + under, axis, items, jumps, top }
    : { w: axis + under, h: along, axis, items, jumps, top }
}

/** Which edges skip or go back: a switch's cases and a task's `then`. */
function findJumps(list: GraphNode[]): Jump[] {
  const index = new Map(list.map((node, at) => [node.name, at]))
  const last = list.length - 1
  const target = (then: string, otherwise: number): number =>
    then === 'end' || then === 'exit' ? last : (index.get(then) ?? otherwise)
  return list.flatMap((node, from): Jump[] => {
    if (node.cases) {
      return node.cases.map((each) => {
        const to = each.then === 'continue' ? from + 1 : target(each.then, from + 1)
        return { from, to, label: each.name, straight: to === from + 1 }
      })
    }
    if (!node.then || node.then === 'continue') return []
    const to = target(node.then, -1)
    return to < 0 || to === from + 1 ? [] : [{ from, to, only: true }]
  })
}

/** Greedy colouring of intervals: jumps that overlap get lanes of their own, short ones inside. */
function colour(jumps: Jump[]): number {
  const taken: [number, number][][] = []
  const arcs = jumps.filter((jump) => !jump.straight).sort((a, b) => span(a) - span(b))
  for (const jump of arcs) {
    const [lo, hi] = [Math.min(jump.from, jump.to), Math.max(jump.from, jump.to)]
    let lane = 0
    while (taken[lane]?.some(([a, b]) => lo < b && a < hi)) lane += 1
    taken[lane] ??= []
    taken[lane]?.push([lo, hi])
    jump.lane = lane
  }
  return taken.length
}

const span = (jump: Jump): number => Math.abs(jump.to - jump.from)

/** The points where edges meet a placed node. */
interface Ports {
  ref: string
  start: Point
  end: Point
  mid: Point
  top: number
  left: number
  off: number
}

/** Second pass: absolute positions, and the paths between them. */
function place(seq: Sequence, x: number, y: number, dir: Direction, out: Graph): Ports[] {
  const at = seq.items.map((item) => {
    const along = item.along ?? 0
    const ix = dir === 'x' ? x + along : x + seq.axis - item.axis
    const iy = dir === 'x' ? y + seq.axis - item.axis : y + along
    return item.lanes ? placeBlock(item, ix, iy, dir, out) : placeTask(item, ix, iy, dir, out)
  })
  const straight = new Map(seq.jumps.filter((j) => j.straight).map((j) => [j.from, j.label]))
  const leaving = new Set(seq.jumps.filter((j) => !j.straight).map((j) => j.from))
  const only = new Set(seq.jumps.filter((j) => j.only).map((j) => j.from))
  for (let i = 0; i + 1 < at.length; i++) {
    const [from, to] = [at[i], at[i + 1]]
    if (!from || !to) continue
    // A switch whose cases all jump, and a task with another `then`, have no straight edge.
    if (leaving.has(i) && !straight.has(i) && (seq.items[i]?.node.cases || only.has(i))) continue
    const label = straight.get(i)
    const [a, b] = [from.end, to.start]
    const middle = { x: (a.x + b.x) / 2 - (label && dir === 'x' ? 5 : 0), y: (a.y + b.y) / 2 }
    const d = `M${a.x} ${a.y}L${b.x} ${b.y}`
    out.edges.push({ d, kind: 'next', from: from.ref, to: to.ref, label, at: middle })
  }
  for (const jump of seq.jumps.filter((each) => !each.straight)) {
    const [from, to] = [at[jump.from], at[jump.to]]
    if (from && to) out.edges.push(arc(jump, from, to, (dir === 'x' ? y : x) + seq.top, dir))
  }
  return at
}

/** A jump as an arc outside the row. `edge`: the border between the lanes of jumps and the row. */
function arc(jump: Jump, a: Ports, b: Ports, edge: number, dir: Direction): Edge {
  const level = edge - 6 - (jump.lane ?? 0) * G.arc
  const r = G.r
  const forward = jump.to > jump.from
  const common = { from: a.ref, to: b.ref, label: jump.label }
  if (dir === 'x') {
    const x1 = a.mid.x + (forward ? a.off : -a.off)
    const x2 = b.mid.x + (forward ? -b.off : b.off)
    const s = x2 > x1 ? 1 : -1
    const d =
      `M${x1} ${a.top}V${level + r}Q${x1} ${level} ${x1 + s * r} ${level}` +
      `H${x2 - s * r}Q${x2} ${level} ${x2} ${level + r}V${b.top}`
    return { ...common, d, kind: s > 0 ? 'jump' : 'back', at: { x: x1 + s * 34, y: level } }
  }
  const y1 = a.mid.y + (forward ? a.off : -a.off)
  const y2 = b.mid.y + (forward ? -b.off : b.off)
  const s = y2 > y1 ? 1 : -1
  const d =
    `M${a.left} ${y1}H${level + r}Q${level} ${y1} ${level} ${y1 + s * r}` +
    `V${y2 - s * r}Q${level} ${y2} ${level + r} ${y2}H${b.left}`
  return { ...common, d, kind: s > 0 ? 'jump' : 'back', at: { x: level, y: (y1 + y2) / 2 } }
}

function placeTask(item: Item, x: number, y: number, dir: Direction, out: Graph): Ports {
  const { node, bw, bh } = item
  out.nodes.push({ node, x, y, w: bw, h: bh })
  if (node.undo) placeUndo(node, node.undo, { x, y, w: bw, h: bh }, dir, out)
  const axis = dir === 'x' ? y + item.axis : x + item.axis
  return ports(node.reference, x, y, bw, bh, dir, axis)
}

function placeUndo(
  node: GraphNode,
  undo: NonNullable<GraphNode['undo']>,
  box: { x: number; y: number; w: number; h: number },
  dir: Direction,
  out: Graph,
): void {
  const { x, y, w, h } = box
  const pill =
    dir === 'x'
      ? { x: x + 16, y: y + h + G.undoGap, w: w - 16 }
      : { x: x + w + G.undoGap, y: y + (h - G.undo) / 2, w: G.undoW }
  const d =
    dir === 'x'
      ? `M${x + 8} ${y + h}V${pill.y + G.undo / 2 - 4}q0 4 4 4H${pill.x}`
      : `M${x + w} ${y + h / 2}H${pill.x}`
  out.nodes.push({ node: { ...undo, kind: 'undo' }, ...pill, h: G.undo })
  out.edges.push({ d, kind: 'undo', from: node.reference, to: undo.reference })
}

function placeBlock(item: Item, x: number, y: number, dir: Direction, out: Graph): Ports {
  const { node, w, h, lanes = [], room = 0, fork } = item
  const second = node.catch ? lanes[1] : undefined
  const split = second ? (dir === 'x' ? y + G.head : x + G.pad) + (second.shift ?? 0) - 13 : null
  out.blocks.push({ node, x, y, w, h, split })
  const axis = dir === 'x' ? y + item.axis : x + item.axis
  for (const lane of lanes) {
    const shift = lane.shift ?? 0
    const lx = dir === 'x' ? x + G.pad + room : x + G.pad + shift
    const ly = dir === 'x' ? y + G.head + shift : y + G.head + room
    const at = place(lane, lx, ly, dir, out)
    const [first, last] = [at[0], at.at(-1)]
    if (!fork || !first || !last) continue
    const [into, outOf] = dir === 'x' ? [x, x + w] : [y, y + h]
    const bend = dir === 'x' ? G.pad : G.head + 8
    const fan = elbow(into, axis, first.start, dir, bend)
    out.edges.push({ d: fan, kind: 'fork', from: node.reference, to: first.ref })
    const join = elbow(outOf, axis, last.end, dir, G.pad)
    out.edges.push({ d: join, kind: 'join', from: last.ref, to: node.reference })
  }
  return ports(node.reference, x, y, w, h, dir, axis)
}

/** From the frame's edge on its axis to a branch: a straight piece, an elbow, a straight piece. */
function elbow(edge: number, axis: number, port: Point, dir: Direction, bend: number): string {
  const [p, q] = dir === 'x' ? [port.x, port.y] : [port.y, port.x]
  // It bends near the frame, so that a short branch's line crosses nobody.
  const mid = edge + (p > edge ? 1 : -1) * bend
  const far = Math.abs(q - axis)
  const r = Math.min(G.r, far / 2, Math.abs(p - mid) / 2)
  const s = q > axis ? 1 : -1
  const t = p > edge ? 1 : -1
  const at = (a: number, b: number): string => (dir === 'x' ? `${a} ${b}` : `${b} ${a}`)
  if (far < 1) return `M${at(edge, axis)}L${at(p, q)}`
  return (
    `M${at(edge, axis)}L${at(mid - t * r, axis)}Q${at(mid, axis)} ${at(mid, axis + s * r)}` +
    `L${at(mid, q - s * r)}Q${at(mid, q)} ${at(mid + t * r, q)}L${at(p, q)}`
  )
}

function ports(
  ref: string,
  x: number,
  y: number,
  w: number,
  h: number,
  dir: Direction,
  axis: number,
): Ports {
  return dir === 'x'
    ? {
        ref,
        start: { x, y: axis },
        end: { x: x + w, y: axis },
        mid: { x: x + w / 2, y: axis },
        top: y,
        left: x,
        off: Math.min(14, w / 8),
      }
    : {
        ref,
        start: { x: axis, y },
        end: { x: axis, y: y + h },
        mid: { x: axis, y: y + h / 2 },
        top: y,
        left: x,
        off: Math.min(6, h / 8),
      }
}
