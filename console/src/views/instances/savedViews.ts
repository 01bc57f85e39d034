/** Views: filters with a name, kept per browser. What one shares is the address. */

import { useSyncExternalStore } from 'react'
import { type InstancesSearch, validSearch } from './filters'

export interface View {
  name: string
  search: InstancesSearch
}

const KEY = 'orchestrator.views'
export const MOST_VIEWS = 20

export const BUILT_IN: View[] = [
  { name: 'All', search: {} },
  ...(__API__.attention
    ? [{ name: 'Needs a look', search: { attention: 'any', sort: 'attention' } }]
    : []),
]

/** What storage holds, without what is no view: an older release or a hand may have written it. */
export function readViews(text: string | null): View[] {
  try {
    const read: unknown = JSON.parse(text ?? '[]')
    return (Array.isArray(read) ? read : []).slice(0, MOST_VIEWS).flatMap((each): View[] => {
      const name = typeof each?.name === 'string' ? each.name.trim().slice(0, 60) : ''
      const search = validSearch(each?.search ?? {})
      return name && Object.keys(search).length ? [{ name, search }] : []
    })
  } catch {
    return []
  }
}

/** A view of the same name is replaced, in its place. */
export const withView = (views: View[], view: View): View[] =>
  views.some((each) => each.name === view.name)
    ? views.map((each) => (each.name === view.name ? view : each))
    : [...views, view].slice(-MOST_VIEWS)

const entries = (search: InstancesSearch): string =>
  JSON.stringify(Object.entries(search).sort(([a], [b]) => (a < b ? -1 : 1)))

/** The view that an address is of, whatever the order of its filters. */
export const viewOf = (views: View[], search: InstancesSearch): View | undefined =>
  views.find((each) => entries(each.search) === entries(search))

let text: string | null = null
let current: View[] = []

function snapshot(): View[] {
  let stored: string | null = null
  try {
    stored = localStorage.getItem(KEY)
  } catch {
    stored = text
  }
  if (stored !== text) {
    text = stored
    current = readViews(stored)
  }
  return current
}

const listeners = new Set<() => void>()

export function storeViews(views: View[]): void {
  const next = JSON.stringify(views)
  try {
    localStorage.setItem(KEY, next)
  } catch {
    // Without storage the views last as long as the page.
    text = next
    current = views
  }
  for (const listener of listeners) listener()
}

export function useViews(): View[] {
  return useSyncExternalStore((listener) => {
    listeners.add(listener)
    // Another tab of the browser saved one.
    addEventListener('storage', listener)
    return () => {
      listeners.delete(listener)
      removeEventListener('storage', listener)
    }
  }, snapshot)
}
