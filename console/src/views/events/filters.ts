/** Filters of listeners, in words. */

interface Filter {
  with?: Record<string, unknown>
}

/** `shop.approved`, or several types; other attributes follow in parentheses. */
export function filtersText(filters: unknown): string {
  const list = Array.isArray(filters) ? (filters as Filter[]) : []
  return list.map(one).join(', ') || 'any event'
}

function one(filter: Filter): string {
  const { type, ...rest } = filter.with ?? {}
  const others = Object.entries(rest).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  const name = typeof type === 'string' ? type : 'any type'
  return others.length ? `${name} (${others.join(', ')})` : name
}

export function typesOf(filters: unknown): string[] {
  const list = Array.isArray(filters) ? (filters as Filter[]) : []
  return list.flatMap((filter) => (typeof filter.with?.type === 'string' ? [filter.with.type] : []))
}
