/**
 * The rows of a list that does not jump.
 *
 * An update changes rows where they stand. New ones are counted and shown when the reader asks for
 * them; those that no longer match stay until then, marked.
 */

export interface Row {
  id: string
}

export interface ListState<R extends Row> {
  order: string[]
  rows: ReadonlyMap<string, R>
  /** Ids of rows that came since, in their order; not shown yet. */
  fresh: string[]
  /** Ids of shown rows that no longer match. */
  gone: ReadonlySet<string>
  next: string | null
}

export interface ListPage<R> {
  items: R[]
  next: string | null
}

export const started = <R extends Row>(page: ListPage<R>): ListState<R> => ({
  order: page.items.map((row) => row.id),
  rows: new Map(page.items.map((row) => [row.id, row])),
  fresh: [],
  gone: new Set(),
  next: page.next,
})

/** Add the page that follows the last row. */
export function extended<R extends Row>(state: ListState<R>, page: ListPage<R>): ListState<R> {
  const rows = new Map(state.rows)
  for (const row of page.items) rows.set(row.id, row)
  const known = new Set(state.order)
  const added = page.items.filter((row) => !known.has(row.id)).map((row) => row.id)
  return { ...state, rows, order: [...state.order, ...added], next: page.next }
}

/** Take up a newly read beginning of the list. */
export function refreshed<R extends Row>(state: ListState<R>, page: ListPage<R>): ListState<R> {
  // Where nothing is shown, nothing can jump.
  if (state.order.length === 0) return started(page)
  const rows = new Map(state.rows)
  for (const row of page.items) rows.set(row.id, row)
  const shown = new Set(state.order)
  const read = new Set(page.items.map((row) => row.id))
  const fresh = freshOf(page.items, shown)
  // A row is missed only where the page reaches as far as it stands.
  const last = state.order.findLastIndex((id) => read.has(id))
  const covered = page.next === null ? state.order : state.order.slice(0, last + 1)
  const gone = new Set(covered.filter((id) => !read.has(id)))
  return { ...state, rows, fresh, gone }
}

/** What was not shown before and stands above something shown: the rest is a further page. */
function freshOf<R extends Row>(items: R[], shown: ReadonlySet<string>): string[] {
  const last = items.findLastIndex((row) => shown.has(row.id))
  const above = shown.size === 0 ? items : items.slice(0, last + 1)
  return above.filter((row) => !shown.has(row.id)).map((row) => row.id)
}

/** Show the new rows, and let go of those that no longer match. */
export function shownAll<R extends Row>(state: ListState<R>): ListState<R> {
  const kept = state.order.filter((id) => !state.gone.has(id))
  return { ...state, order: [...state.fresh, ...kept], fresh: [], gone: new Set() }
}

/** The ids from one row to another, as a click with Shift chooses them. */
export function between(order: string[], from: string, to: string): string[] {
  const [a, b] = [order.indexOf(from), order.indexOf(to)]
  if (a < 0 || b < 0) return [to]
  return order.slice(Math.min(a, b), Math.max(a, b) + 1)
}
