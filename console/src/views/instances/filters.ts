/** The filters of the list: the address holds them as the API takes them. */

import type { Filters } from '../../api/queries'

export type InstancesSearch = Record<string, string>

export interface Field {
  name: string
  word: string
  values?: string[]
}

const STATUSES = ['pending', 'running', 'waiting', 'suspended', 'cancelled', 'faulted', 'completed']

/** Filters that this release's API takes. */
const ATTENTION_FIELDS: Field[] = [
  {
    name: 'attention',
    word: 'needs a look',
    values: ['any', 'stuck', 'retrying', 'outcome_unknown', 'dead_letter', 'held'],
  },
  {
    name: 'waiting_for',
    word: 'waits for',
    values: ['event', 'retry', 'timer', 'task', 'workflow'],
  },
  { name: 'error.type', word: 'error' },
]

const SORTED_BY = ['-created_at', 'created_at', '-started_at', 'started_at'].concat(
  __API__.attention ? ['attention'] : [],
)

export const FIELDS: Field[] = [
  { name: 'status', word: 'status', values: STATUSES },
  { name: 'compensation', word: 'undo', values: ['none', 'running', 'completed', 'failed'] },
  ...(__API__.attention ? ATTENTION_FIELDS : []),
  { name: 'workflow', word: 'workflow' },
  { name: 'business_id', word: 'business id' },
  { name: 'id', word: 'id' },
  { name: 'attempt', word: 'attempt' },
  { name: 'parent', word: 'parent' },
  { name: 'started', word: 'started', values: ['15m', '1h', '24h', '7d'] },
  { name: 'started_after', word: 'started after' },
  { name: 'started_before', word: 'started before' },
  { name: 'q', word: 'text' },
  { name: 'sort', word: 'sort', values: SORTED_BY },
]

/** Filters of which several values may be chosen at once. */
export const MANY = new Set(['status', 'compensation', 'attention', 'waiting_for'])

const KNOWN = new Set(FIELDS.map((field) => field.name))
const isOpenField = (name: string): boolean => /^(label|input)\..+/.test(name)

/** Keep what is a filter; anything else in an address is left out. */
export function validSearch(given: Record<string, unknown>): InstancesSearch {
  const entries = Object.entries(given).flatMap(([name, value]): [string, string][] => {
    const text = typeof value === 'string' ? value : ''
    return text && (KNOWN.has(name) || isOpenField(name)) ? [[name, text]] : []
  })
  return Object.fromEntries(entries)
}

const MINUTE = 60_000
const AGES: Record<string, number> = {
  '15m': 15 * MINUTE,
  '1h': 60 * MINUTE,
  '24h': 1440 * MINUTE,
  '7d': 10_080 * MINUTE,
}
export const AGE_WORDS: Record<string, string> = {
  '15m': 'last 15 min',
  '1h': 'last hour',
  '24h': 'last 24 h',
  '7d': 'last 7 days',
}

/** The parameters of a request: `started=1h` becomes a time, at a whole minute for the cache. */
export function requestOf(search: InstancesSearch, namespace: string, now: number): Filters {
  const { started, sort, ...filters } = search
  const ms = started ? AGES[started] : undefined
  if (ms) {
    const since = Math.floor((now - ms) / MINUTE) * MINUTE
    filters.started_after = new Date(since).toISOString()
  }
  if (namespace) filters.namespace = namespace
  return sort ? { ...filters, sort } : filters
}

/** The same without order, for counts and bulk operations. */
export function withoutSort(filters: Filters): Filters {
  const { sort: _, ...rest } = filters
  return rest
}

export const valuesOf = (search: InstancesSearch, name: string): string[] =>
  (search[name] ?? '').split(',').filter(Boolean)

/** Add or take away one value of a filter. */
export function toggled(search: InstancesSearch, name: string, value: string): InstancesSearch {
  const had = valuesOf(search, name)
  const next = MANY.has(name)
    ? had.includes(value)
      ? had.filter((each) => each !== value)
      : [...had, value]
    : had.includes(value)
      ? []
      : [value]
  return withValue(search, name, next.join(','))
}

export function withValue(search: InstancesSearch, name: string, value: string): InstancesSearch {
  const { [name]: _, ...rest } = search
  return value ? { ...rest, [name]: value } : rest
}

export interface Token {
  name: string
  word: string
  text: string
  /** Why the API would refuse it. */
  bad?: string
}

/** The filters as tokens of the bar. */
export function tokens(search: InstancesSearch): Token[] {
  return Object.entries(search).map(([name, value]) => {
    const field = FIELDS.find((each) => each.name === name)
    return { name, word: field?.word ?? name, text: shown(name, value), bad: refusal(field, value) }
  })
}

const SORTS: Record<string, string> = {
  '-created_at': 'newest first',
  created_at: 'oldest first',
  '-started_at': 'last started first',
  started_at: 'first started first',
  attention: 'needs a look first',
}

function shown(name: string, value: string): string {
  if (name === 'started') return AGE_WORDS[value] ?? value
  if (name === 'sort') return SORTS[value] ?? value
  return value
    .split(',')
    .join(', ')
    .replace(/_/g, name === 'attention' ? ' ' : '_')
}

function refusal(field: Field | undefined, value: string): string | undefined {
  if (!field?.values) return undefined
  const unknown = value.split(',').find((each) => !field.values?.includes(each))
  return unknown === undefined ? undefined : `${field.word} can't be ${unknown}`
}

/** What was typed: `status=faulted` is a filter, anything else text to find. */
export function typed(text: string): { name: string; value: string } | null {
  const trimmed = text.trim()
  if (!trimmed) return null
  const match = /^([\w.[\]-]+)\s*[=:]\s*(.+)$/.exec(trimmed)
  const name = match?.[1] ?? ''
  const field = FIELDS.find((each) => each.name === name || each.word === name)
  if (match?.[2] && (field || isOpenField(name)))
    return { name: field?.name ?? name, value: match[2] }
  return { name: 'q', value: trimmed.slice(0, 255) }
}
