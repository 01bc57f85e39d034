/** What the views read, each with its key in the cache. */

import { keepPreviousData, queryOptions } from '@tanstack/react-query'
import type { Cause } from '../words/why'
import { client, data, optional, send } from './client'
import type {
  AuditEntry,
  Compensation,
  Counts,
  DeadLetter,
  Delivery,
  Doctor,
  Instance,
  Listener,
  Me,
  Namespace,
  Operation,
  OperationDetails,
  Outcome,
  Page,
  Queue,
  ReceivedEvent,
  Statistics,
  Step,
  Subscription,
  Summary,
  Transition,
  Version,
  Worker,
  Workflow,
  WorkflowVersion,
} from './types'

export type Filters = Record<string, string>

const FOREVER = Number.POSITIVE_INFINITY

function queryString(values: Record<string, string | number | undefined | null>): string {
  const given = Object.entries(values).flatMap(([name, value]) =>
    value === undefined || value === null || value === '' ? [] : [[name, String(value)]],
  )
  const text = new URLSearchParams(given).toString()
  return text && `?${text}`
}

export async function instancesPage(filters: Filters, limit: number, cursor?: string) {
  const path = `/v1/instances${queryString({ ...filters, limit, cursor })}`
  return (await send<Page<Summary>>('GET', path)).data
}

export const counts = (filters: Filters) =>
  queryOptions({
    queryKey: ['instances', 'counts', filters],
    queryFn: async () =>
      (await send<Counts>('GET', `/v1/instances/counts${queryString(filters)}`)).data,
  })

const FACETS = 'attention,waiting_for,compensation,workflow,error'

/** Counts of what the filter selects, by everything that one can filter by. They cost more. */
export const facets = (filters: Filters) =>
  queryOptions({
    queryKey: ['instances', 'counts', filters, 'facets'],
    queryFn: async () => {
      const path = `/v1/instances/counts${queryString({ ...filters, facets: FACETS })}`
      return (await send<Counts>('GET', path)).data
    },
    // The list changes twice a second; its facets need not (see live/feed).
    staleTime: 4000,
    refetchInterval: 10_000,
    placeholderData: keepPreviousData,
  })

/** How many instances need a person. It is asked for seldom: every page shows it. */
export const needed = (namespace: string) =>
  queryOptions({
    queryKey: ['needed', namespace],
    queryFn: async () => {
      const attention = 'dead_letter,outcome_unknown,held'
      const query = queryString({ attention, namespace })
      return (await send<Counts>('GET', `/v1/instances/counts${query}`)).data
    },
    enabled: __API__.attention,
    staleTime: 10_000,
    refetchInterval: 15_000,
  })

export const me = queryOptions({
  queryKey: ['me'],
  queryFn: () => optional<Me>(__API__.me, '/v1/me'),
  staleTime: 60_000,
})

export const namespaces = queryOptions({
  queryKey: ['namespaces'],
  queryFn: async () => data<Page<Namespace>>(await client.GET('/v1/namespaces')).items,
  staleTime: 60_000,
})

export interface Tagged<T> {
  value: T
  etag: string | null
}

export const instance = (id: string) =>
  queryOptions({
    queryKey: ['instance', id],
    queryFn: async (): Promise<Tagged<Instance>> => {
      const answer = await client.GET('/v1/instances/{id}', { params: { path: { id } } })
      return { value: data<Instance>(answer), etag: answer.response.headers.get('etag') }
    },
  })

const MOST_STEPS = 20_000

interface StepsPage extends Page<Step> {
  sequence: number
}

export interface Steps {
  items: Step[]
  /** The transition up to which they are known. */
  sequence: number
}

/** Every step without its payloads; once they are known, only what changed since is read. */
export const steps = (id: string) =>
  queryOptions({
    queryKey: ['instance', id, 'steps'],
    queryFn: async ({ client: cache, queryKey }): Promise<Steps> => {
      const known = cache.getQueryData<Steps>(queryKey)
      const read = await stepsSince(id, known?.sequence)
      return known ? { items: merged(known.items, read.items), sequence: read.sequence } : read
    },
  })

async function stepsSince(id: string, since: number | undefined): Promise<Steps> {
  const items: Step[] = []
  let sequence: number | undefined
  let cursor: string | null | undefined
  do {
    const query = queryString({ limit: 1000, fields: 'summary', since, cursor })
    const page: StepsPage = (await send<StepsPage>('GET', `/v1/instances/${id}/steps${query}`)).data
    items.push(...page.items)
    // What changes while the pages are read is read again the next time.
    sequence ??= page.sequence
    cursor = page.next
  } while (cursor && items.length < MOST_STEPS)
  return { items, sequence: sequence ?? 0 }
}

/** Take up the changed steps; the list itself stays the same if nothing changed. */
export function merged(known: Step[], changed: Step[]): Step[] {
  if (!changed.length) return known
  const fresh = new Map(changed.map((each) => [each.id, each]))
  const kept = known.map((each) => fresh.get(each.id) ?? each)
  const ids = new Set(known.map((each) => each.id))
  return [...kept, ...changed.filter((each) => !ids.has(each.id))]
}

export const step = (id: string, number: number) =>
  queryOptions({
    queryKey: ['instance', id, 'step', number],
    queryFn: async () => (await send<Step>('GET', `/v1/instances/${id}/steps/${number}`)).data,
  })

export const historyPage = async (id: string, cursor?: string, limit = 200) =>
  (
    await send<Page<Transition>>(
      'GET',
      `/v1/instances/${id}/history${queryString({ limit, cursor, sort: '-sequence' })}`,
    )
  ).data

export const historyKey = (id: string) => ['instance', id, 'history']

export const why = (id: string) =>
  queryOptions({
    queryKey: ['instance', id, 'why'],
    queryFn: async () =>
      data<{ status: string; compensation: string; causes: Cause[] }>(
        await client.GET('/v1/instances/{id}/why', { params: { path: { id } } }),
      ),
  })

export const compensation = (id: string) =>
  queryOptions({
    queryKey: ['instance', id, 'compensation'],
    queryFn: async () =>
      data<Compensation>(
        await client.GET('/v1/instances/{id}/compensation', { params: { path: { id } } }),
      ),
  })

export const children = (id: string) =>
  queryOptions({
    queryKey: ['instance', id, 'children'],
    queryFn: () => instancesPage({ parent: id }, 200),
  })

export const deadLetters = (instanceId?: string) =>
  queryOptions({
    queryKey: ['dead-letters', instanceId ?? 'all'],
    queryFn: async () =>
      (
        await send<Page<DeadLetter>>(
          'GET',
          `/v1/dead-letters${queryString({ resolved: 'false', limit: 200, instance: instanceId })}`,
        )
      ).data,
  })

export const workflows = (q = '') =>
  queryOptions({
    queryKey: ['workflows', q],
    queryFn: async () =>
      (await send<Page<Workflow>>('GET', `/v1/workflows${queryString({ limit: 1000, q })}`)).data,
  })

export const versions = (namespace: string, name: string) =>
  queryOptions({
    queryKey: ['workflow', namespace, name, 'versions'],
    queryFn: async () =>
      data<Page<Version>>(
        await client.GET('/v1/workflows/{namespace}/{name}/versions', {
          params: { path: { namespace, name } },
        }),
      ).items,
  })

/** A version never changes, so it is read once. */
export const workflowVersion = (namespace: string, name: string, version: string) =>
  queryOptions({
    queryKey: ['workflow', namespace, name, 'version', version],
    queryFn: async () =>
      data<WorkflowVersion>(
        await client.GET('/v1/workflows/{namespace}/{name}/versions/{version}', {
          params: { path: { namespace, name, version } },
        }),
      ),
    staleTime: FOREVER,
  })

/** A sentence for each task that was added, removed or changed between two versions. */
export const changesOf = (namespace: string, name: string, from: string, to: string) =>
  queryOptions({
    queryKey: ['workflow', namespace, name, 'diff', from, to],
    queryFn: async () =>
      data<{ changes: string[] }>(
        await client.GET('/v1/workflows/{namespace}/{name}/diff', {
          params: { path: { namespace, name }, query: { from, to } },
        }),
      ).changes,
    staleTime: FOREVER,
  })

export const statistics = (namespace: string, name: string, since: string) =>
  queryOptions({
    queryKey: ['workflow', namespace, name, 'statistics', since],
    queryFn: () =>
      optional<Statistics>(
        __API__.statistics,
        `/v1/workflows/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}/statistics${queryString({ since: sinceTime(since) })}`,
      ),
  })

const HOUR = 3_600_000
const WINDOWS: Record<string, number> = { '1h': HOUR, '24h': 24 * HOUR, '7d': 168 * HOUR }

/** The beginning of a window such as `24h`, at a whole minute so that the cache is used. */
export function sinceTime(window: string, now = Date.now()): string {
  const ms = WINDOWS[window] ?? HOUR
  return new Date(Math.floor((now - ms) / 60_000) * 60_000).toISOString()
}

export const listeners = queryOptions({
  queryKey: ['listeners'],
  queryFn: async () => (await send<Page<Listener>>('GET', '/v1/listeners?limit=1000')).data,
})

export const receivedEvents = (type: string) =>
  queryOptions({
    queryKey: ['events', type],
    queryFn: async () =>
      (await send<Page<ReceivedEvent>>('GET', `/v1/events${queryString({ limit: 200, type })}`))
        .data,
  })

export const subscriptions = queryOptions({
  queryKey: ['subscriptions'],
  queryFn: async () => (await send<Page<Subscription>>('GET', '/v1/subscriptions?limit=200')).data,
})

export const deliveries = (subscription: string) =>
  queryOptions({
    queryKey: ['subscription', subscription, 'deliveries'],
    queryFn: async () =>
      (await send<Page<Delivery>>('GET', `/v1/subscriptions/${subscription}/deliveries?limit=100`))
        .data,
  })

export const workers = queryOptions({
  queryKey: ['workers'],
  queryFn: async () => (await send<Page<Worker>>('GET', '/v1/workers?live=true&limit=200')).data,
})

export const queues = queryOptions({
  queryKey: ['queues'],
  queryFn: async () => (await send<Page<Queue>>('GET', '/v1/queues')).data,
})

export const doctor = queryOptions({
  queryKey: ['doctor'],
  queryFn: () => optional<Doctor>(__API__.doctor, '/v1/doctor'),
  staleTime: 15_000,
})

export const operations = queryOptions({
  queryKey: ['operations'],
  queryFn: async () => (await send<Page<Operation>>('GET', '/v1/operations?limit=100')).data,
})

export const operation = (id: string) =>
  queryOptions({
    queryKey: ['operation', id],
    queryFn: async () => (await send<OperationDetails>('GET', `/v1/operations/${id}`)).data,
  })

export const outcomesPage = async (id: string, cursor?: string) =>
  (
    await send<Page<Outcome>>(
      'GET',
      `/v1/operations/${id}/outcomes${queryString({ limit: 100, cursor })}`,
    )
  ).data

export const audit = (filters: Filters) =>
  queryOptions({
    queryKey: ['audit', filters],
    queryFn: async () =>
      (await send<Page<AuditEntry>>('GET', `/v1/audit${queryString({ ...filters, limit: 200 })}`))
        .data,
  })
