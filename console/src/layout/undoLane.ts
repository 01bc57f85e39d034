/** Layout of the undo lane: what was done above, what undid it mirrored below. */

export interface LaneStep {
  id: number
  name: string
  status: string
  parent: number
  kind: string
  compensates: number | null
  started_at: string | null
  ended_at: string | null
}

export interface LaneColumn<S> {
  step: S
  x: number
  w: number
}

export interface LaneUndo<S> extends LaneColumn<S> {
  /** The place of an undo step in the order in which they ran, from 1. */
  order: number
  undoes: S
}

export interface UndoLane<S> {
  columns: LaneColumn<S>[]
  below: LaneUndo<S>[]
  /** The step whose fault started the undo, if one did. */
  cause: LaneColumn<S> | undefined
  width: number
}

export const LANE = { w: 172, gap: 28 } as const

/**
 * Lay out the lane of an instance.
 *
 * Forward steps stand left to right in the order in which they ended, each undo step below the
 * step that it undoes. Blocks are left out unless something undid them as a whole. `skip`: steps
 * that are no columns of their own, such as the turns of a folded loop.
 */
export function undoLane<S extends LaneStep>(
  steps: S[],
  { w = LANE.w, gap = LANE.gap }: { w?: number; gap?: number } = {},
): UndoLane<S> {
  const undo = steps.filter((step) => step.compensates !== null).sort((a, b) => a.id - b.id)
  const undone = new Set(undo.map((step) => step.compensates))
  const inUndo = descendants(steps, new Set(undo.map((step) => step.id)))
  const parents = new Set(steps.map((step) => step.parent))
  const forward = steps
    .filter((step) => step.compensates === null && step.ended_at && !inUndo.has(step.id))
    .filter((step) => undone.has(step.id) || !parents.has(step.id))
    .sort(byEnd)
  const columns = forward.map((step, at) => ({ step, x: at * (w + gap), w }))
  const at = new Map(columns.map((column) => [column.step.id, column]))
  const below = undo.flatMap((step): LaneUndo<S>[] => {
    const column = step.compensates === null ? undefined : at.get(step.compensates)
    return column ? [{ step, order: 0, undoes: column.step, x: column.x, w }] : []
  })
  below.forEach((each, index) => {
    each.order = index + 1
  })
  const cause = columns.findLast((column) => column.step.status === 'faulted')
  return { columns, below, cause, width: Math.max(0, columns.length * (w + gap) - gap) }
}

function byEnd(a: LaneStep, b: LaneStep): number {
  const [x, y] = [a.ended_at ?? '', b.ended_at ?? '']
  return x < y ? -1 : x > y ? 1 : a.id - b.id
}

/** The steps below the given ones: the inside of a composite compensation. */
function descendants(steps: LaneStep[], roots: Set<number>): Set<number> {
  const inside = new Set<number>()
  // Steps come in the order of their creation, so a parent stands before its children.
  for (const step of steps) {
    if (roots.has(step.parent) || inside.has(step.parent)) inside.add(step.id)
  }
  return inside
}
