/**
 * The live feed: one stream a browser, shared by its tabs, and polling where there is none.
 *
 * A lock chooses the tab that holds the stream; it tells the others through a channel. The stream
 * says what changed, never what it is now: the page asks for what it shows.
 */

import type { QueryClient } from '@tanstack/react-query'
import { useSyncExternalStore } from 'react'
import { historyKey, historyPage } from '../api/queries'
import type { Change } from '../api/types'
import { API } from '../base'
import { Coalescer, type Gathered } from './coalesce'
import { type History, withNewest } from './newest'

export type Mode = 'connecting' | 'live' | 'polling'

const EVERY = 500
const POLL = 5000
/** Counts by everything that one can filter by cost the server more, and change slowly, in ms. */
const SLOW = 4000
/** How long polling lasts until the stream is tried again, in ms. */
const RETRY = 60_000

type Message =
  | { kind: 'changes'; instances: string[] | null }
  | { kind: 'mode'; mode: Mode }
  /** A tab that was opened later asks in which mode the stream is. */
  | { kind: 'ask' }

let mode: Mode = 'connecting'
const listeners = new Set<() => void>()

function setMode(next: Mode): void {
  if (mode === next) return
  mode = next
  for (const listener of listeners) listener()
}

export const useFeedMode = (): Mode =>
  useSyncExternalStore(
    (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    () => mode,
  )

export function startFeed(queries: QueryClient): void {
  const gathered = new Coalescer(EVERY, (changes) => refetch(queries, changes))
  document.addEventListener('visibilitychange', () => gathered.pause(document.hidden))
  gathered.pause(document.hidden)
  setInterval(() => mode !== 'live' && gathered.add(null), POLL)

  if (!__API__.feed) {
    setMode('polling')
    return
  }
  const channel = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel('feed')
  const tell = (message: Message) => {
    channel?.postMessage(message)
    take(message)
  }
  let leads = false
  const take = (message: Message) => {
    if (message.kind === 'mode') setMode(message.mode)
    else if (message.kind === 'ask') {
      if (leads) channel?.postMessage({ kind: 'mode', mode } satisfies Message)
    } else gathered.add(message.instances)
  }
  if (channel) channel.onmessage = (event: MessageEvent<Message>) => take(event.data)
  if (!navigator.locks) {
    void stream(tell)
    return
  }
  // The tab that gets the lock holds it, and the stream, until it is closed.
  void navigator.locks.request(`orchestrator feed ${API}`, () => {
    leads = true
    return stream(tell)
  })
  channel?.postMessage({ kind: 'ask' } satisfies Message)
}

/** Hold a stream open for good; where it is refused, say so and try again later. */
async function stream(tell: (message: Message) => void): Promise<never> {
  for (;;) {
    await once(tell)
    tell({ kind: 'mode', mode: 'polling' })
    await new Promise((resolve) => setTimeout(resolve, RETRY))
  }
}

function once(tell: (message: Message) => void): Promise<void> {
  return new Promise((resolve) => {
    const source = new EventSource(`${API}/v1/feed`)
    source.onopen = () => {
      tell({ kind: 'mode', mode: 'live' })
      // What happened while nobody listened is unknown.
      tell({ kind: 'changes', instances: null })
    }
    source.addEventListener('change', (event) => {
      const changes = JSON.parse((event as MessageEvent<string>).data) as Change | Change[]
      const list = Array.isArray(changes) ? changes : [changes]
      tell({ kind: 'changes', instances: list.map((each) => each.instance) })
    })
    source.addEventListener('lost', () => tell({ kind: 'changes', instances: null }))
    source.onerror = () => {
      // The browser itself reconnects after an interruption, not after a refusal.
      if (source.readyState !== EventSource.CLOSED) return
      source.close()
      resolve()
    }
  })
}

/** Ask anew for what is shown: the lists, and the open instance if it changed. */
function refetch(queries: QueryClient, changes: Gathered): void {
  const { instances } = changes
  const now = Date.now()
  void queries.invalidateQueries({
    predicate: ({ queryKey, state }) =>
      queryKey[0] === 'instances' &&
      (queryKey.at(-1) !== 'facets' || now - state.dataUpdatedAt > SLOW),
  })
  void queries.invalidateQueries({ queryKey: ['dead-letters'] })
  void queries.invalidateQueries({
    predicate: ({ queryKey }) =>
      queryKey[0] === 'instance' &&
      queryKey[2] !== 'history' &&
      (instances === null || instances.has(String(queryKey[1]))),
  })
  for (const query of queries.getQueryCache().findAll({ queryKey: ['instance'], type: 'active' })) {
    const [, id, part] = query.queryKey
    if (part === 'history' && (instances === null || instances.has(String(id)))) {
      void newest(queries, String(id))
    }
  }
}

/** An open history takes up what is new, without reading all its pages again. */
async function newest(queries: QueryClient, id: string): Promise<void> {
  const page = await historyPage(id).catch(() => null)
  if (page) {
    queries.setQueryData<History>(historyKey(id), (known) => known && withNewest(known, page))
  }
}
