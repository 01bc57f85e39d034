/** Events: who waits for what, what was received, who is told. */

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { useVirtualizer } from '@tanstack/react-virtual'
import { useMemo, useRef, useState } from 'react'
import { idempotencyKey, send } from '../../api/client'
import {
  deliveries as deliveriesQuery,
  instance as instanceQuery,
  listeners as listenersQuery,
  receivedEvents,
  subscriptions as subscriptionsQuery,
} from '../../api/queries'
import type { Delivery, Listener, ReceivedEvent, Subscription } from '../../api/types'
import { Bar, Title } from '../../shell/Shell'
import { useMay } from '../../shell/useMay'
import { Button, IconButton, StateText, Tabs } from '../../ui/basics'
import { Age, Time } from '../../ui/clock'
import { Json } from '../../ui/code'
import { Icon } from '../../ui/icons'
import { say } from '../../ui/overlays'
import { usePreferences } from '../../ui/preferences'
import { Empty, Failed, Loading } from '../../ui/states'
import { count, counted, cut } from '../../words/numbers'
import type { State } from '../../words/states'
import { SidePanel } from '../instance/SidePanel'
import { filtersText, typesOf } from './filters'
import { SendDialog } from './SendDialog'

type Tab = 'waits' | 'received' | 'subscriptions'

interface EventsSearch {
  tab?: string
  type?: string
  find?: string
  of?: string
}

interface Sending {
  type?: string
  instance?: { id: string; business_id?: string | null; workflow?: { namespace: string } }
  namespace?: string
}

export function EventsView() {
  const search = useSearch({ strict: false }) as EventsSearch
  const navigate = useNavigate()
  const may = useMay('operator')
  const [sending, setSending] = useState<Sending | null>(null)
  const tab = (
    ['received', 'subscriptions'].includes(search.tab ?? '') ? search.tab : 'waits'
  ) as Tab
  const setSearch = (change: EventsSearch) =>
    void navigate({ to: '/events', search: { ...search, ...change }, replace: true })
  const waiting = useQuery(listenersQuery)
  return (
    <>
      <Title text="Events" />
      <Bar
        actions={
          may && (
            <Button icon="emit" onClick={() => setSending({ type: search.type })}>
              Send an event…
            </Button>
          )
        }
      >
        <h1>Events</h1>
      </Bar>
      <Tabs
        label="Parts of events"
        value={tab}
        onChange={(next) => setSearch({ tab: next === 'waits' ? undefined : next, of: undefined })}
        options={[
          {
            value: 'waits',
            text: 'Who waits',
            count: waiting.data && count(waiting.data.items.length),
          },
          { value: 'received', text: 'Received' },
          { value: 'subscriptions', text: 'Subscriptions' },
        ]}
      />
      {tab !== 'subscriptions' && <EventFilter search={search} setSearch={setSearch} tab={tab} />}
      {tab === 'waits' && (
        <Waits
          search={search}
          onType={(type) => setSearch({ type })}
          onSend={may ? setSending : undefined}
        />
      )}
      {tab === 'received' && <Received search={search} onOpen={(of) => setSearch({ of })} />}
      {tab === 'subscriptions' && (
        <Subscriptions chosen={search.of ?? null} onOpen={(of) => setSearch({ of })} />
      )}
      {sending && <SendDialog {...sending} onClose={() => setSending(null)} />}
    </>
  )
}

function EventFilter({
  search,
  setSearch,
  tab,
}: {
  search: EventsSearch
  setSearch: (change: EventsSearch) => void
  tab: Tab
}) {
  const value = tab === 'waits' ? search.find : search.type
  const set = (text: string | undefined) =>
    setSearch(tab === 'waits' ? { find: text } : { type: text })
  return (
    <div className="filters">
      <label className="search">
        <Icon name="search" />
        {tab === 'waits' && search.type && (
          <span className="token">
            <em>type</em> <bdi className="cut">{cut(search.type, 60)}</bdi>
            <button
              type="button"
              aria-label="Remove the filter type"
              onClick={() => setSearch({ type: undefined })}
            >
              <Icon name="close" />
            </button>
          </span>
        )}
        <span className="filter-input">
          <input
            data-filter
            aria-label="Filter"
            placeholder={
              tab === 'waits' ? 'Filter by type, step or instance…' : 'The type, in full…'
            }
            value={value ?? ''}
            maxLength={1000}
            onChange={(event) => set(event.target.value || undefined)}
          />
        </span>
        <kbd>/</kbd>
      </label>
    </div>
  )
}

const ROW = 36

function Waits({
  search,
  onType,
  onSend,
}: {
  search: EventsSearch
  onType: (type: string) => void
  onSend?: (sending: Sending) => void
}) {
  const { namespace } = usePreferences()
  const query = useQuery({ ...listenersQuery, refetchInterval: 5000 })
  const box = useRef<HTMLDivElement>(null)
  const shown = useMemo(() => {
    const find = (search.find ?? '').toLowerCase()
    return (query.data?.items ?? []).filter(
      (each) =>
        (!namespace || each.namespace === namespace) &&
        (!search.type || typesOf(each.filters).includes(search.type)) &&
        (!find ||
          `${filtersText(each.filters)} ${each.reference} ${each.instance} ${each.business_id ?? ''}`
            .toLowerCase()
            .includes(find)),
    )
  }, [query.data, namespace, search.type, search.find])
  const rows = useVirtualizer({
    count: shown.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW,
    overscan: 12,
  })
  if (query.error) {
    return (
      <div className="pad">
        <Failed error={query.error} retry={() => void query.refetch()} />
      </div>
    )
  }
  if (query.isPending) return <Loading />
  if (!shown.length) {
    return (
      <Empty
        title="Nobody waits for an event"
        command="orchestrator event send shop.approved -d '{&quot;by&quot;: &quot;Ada&quot;}'"
      >
        {search.type || search.find
          ? 'No listener matches the filter.'
          : 'A task that listens stands here until its event comes.'}
      </Empty>
    )
  }
  return (
    <div className="scroll grow" ref={box}>
      {search.type && (
        <p className="type-head">
          <span className="tone s-waiting">
            <Icon name="listen" />
          </span>
          <bdi className="mono">{cut(search.type, 100)}</bdi>
          <span className="quiet small">
            {counted(shown.length, 'listener')}: an event without a correlation wakes them all
          </span>
        </p>
      )}
      <div className="table listeners-table" role="table" aria-label="Listeners">
        <div className="tr th" role="row">
          <span role="columnheader">Instance</span>
          <span role="columnheader">Step</span>
          <span role="columnheader">Event</span>
          <span role="columnheader">Which</span>
          <span role="columnheader" className="right">
            Since
          </span>
          <span role="columnheader" />
        </div>
        <div className="virtual" style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map((item) => {
            const listener = shown[item.index]
            return (
              listener && (
                <ListenerRow
                  key={`${listener.instance} ${listener.step}`}
                  listener={listener}
                  top={item.start}
                  onType={onType}
                  onSend={onSend}
                />
              )
            )
          })}
        </div>
      </div>
    </div>
  )
}

const lastToken = (reference: string | null): string => reference?.split('/').at(-1) ?? ''

function ListenerRow({
  listener,
  top,
  onType,
  onSend,
}: {
  listener: Listener
  top: number
  onType: (type: string) => void
  onSend?: (sending: Sending) => void
}) {
  const type = typesOf(listener.filters)[0]
  return (
    <div className="tr" role="row" style={{ transform: `translateY(${top}px)` }}>
      <span role="cell" className="cut">
        <Link
          className="link"
          to="/instances/$id"
          params={{ id: listener.instance }}
          search={{ step: listener.step }}
        >
          <InstanceName id={listener.instance} known={listener.business_id} />
        </Link>
      </span>
      <span role="cell" className="cut">
        <bdi>{cut(lastToken(listener.reference), 60)}</bdi>
      </span>
      <span role="cell" className="cut">
        <button
          type="button"
          className="bare mono cut"
          disabled={!type}
          onClick={() => type && onType(type)}
        >
          <bdi>{cut(filtersText(listener.filters), 100)}</bdi>
        </button>
      </span>
      <span role="cell" className="mid cut">
        {listener.mode}
      </span>
      <span role="cell" className="right quiet">
        <Age since={listener.created_at} />
      </span>
      <span role="cell" className="right">
        {onSend && (
          <Button
            small
            icon="emit"
            onClick={() =>
              onSend({
                type,
                instance: {
                  id: listener.instance,
                  business_id: listener.business_id,
                  workflow: { namespace: listener.namespace },
                },
              })
            }
          >
            Send…
          </Button>
        )}
      </span>
    </div>
  )
}

/** The business id of an instance, which lists of other things do not carry. */
export function InstanceName({ id, known }: { id: string; known?: string | null }) {
  const found = useQuery({
    ...instanceQuery(id),
    enabled: known === undefined,
    staleTime: 60_000,
  }).data?.value
  const name = known ?? found?.business_id ?? id
  return <bdi title={name}>{cut(name, 48)}</bdi>
}

function Received({
  search,
  onOpen,
}: {
  search: EventsSearch
  onOpen: (id: string | undefined) => void
}) {
  const { namespace } = usePreferences()
  const query = useQuery({ ...receivedEvents(search.type ?? ''), refetchInterval: 5000 })
  if (query.error) {
    return (
      <div className="pad">
        <Failed error={query.error} retry={() => void query.refetch()} />
      </div>
    )
  }
  if (query.isPending) return <Loading />
  const shown = query.data.items.filter((each) => !namespace || each.namespace === namespace)
  if (!shown.length) {
    return (
      <Empty title="No event was received" command="orchestrator event send shop.approved">
        Events that were sent here, or that workflows emitted, are kept for a time.
      </Empty>
    )
  }
  const chosen = shown.find((each) => each.id === search.of)
  return (
    <div className="body">
      <section className="scroll grow" aria-label="Received events" tabIndex={0}>
        <div className="table received-table" role="table" aria-label="Received events">
          <div className="tr th" role="row">
            <span role="columnheader">Type</span>
            <span role="columnheader">Source</span>
            <span role="columnheader">Taken</span>
            <span role="columnheader" className="right">
              Received
            </span>
          </div>
          {shown.map((each) => (
            <EventRow key={each.id} received={each} on={each.id === search.of} onOpen={onOpen} />
          ))}
        </div>
      </section>
      {chosen && <EventPanel received={chosen} onClose={() => onOpen(undefined)} />}
    </div>
  )
}

interface CloudEvent {
  type?: string
  source?: string
}

function EventRow({
  received,
  on,
  onOpen,
}: {
  received: ReceivedEvent
  on: boolean
  onOpen: (id: string) => void
}) {
  const event = (received.event ?? {}) as CloudEvent
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the button inside is for the keyboard
    <div
      className={`tr link-row ${on ? 'is-on' : ''}`}
      role="row"
      tabIndex={-1}
      onClick={() => onOpen(received.id)}
    >
      <span role="cell" className="cut">
        <button type="button" className="bare mono cut" onClick={() => onOpen(received.id)}>
          <bdi>{cut(event.type ?? '', 100)}</bdi>
        </button>
      </span>
      <span role="cell" className="mid cut">
        <bdi>{cut(event.source ?? '', 80)}</bdi>
      </span>
      <span role="cell" className="mid cut">
        {received.matched_at ? 'matched' : 'not yet'}
      </span>
      <span role="cell" className="right quiet">
        <Time at={received.created_at} />
      </span>
    </div>
  )
}

interface EventWhy {
  causes: { kind: string; message: string; instance?: string }[]
}

function EventPanel({ received, onClose }: { received: ReceivedEvent; onClose: () => void }) {
  const why = useQuery({
    queryKey: ['events', received.id, 'why'],
    queryFn: async () => (await send<EventWhy>('GET', `/v1/events/${received.id}/why`)).data,
  })
  const event = (received.event ?? {}) as CloudEvent
  return (
    <SidePanel label="Event">
      <header>
        <div className="grow">
          <h2 className="any">
            <bdi>{cut(event.type ?? 'Event', 120)}</bdi>
          </h2>
          <p className="mono quiet any">{received.id}</p>
        </div>
        <IconButton icon="close" label="Close" small kind="quiet" onClick={onClose} />
      </header>
      <section className="inside scroll grow" tabIndex={0} aria-label="Event">
        <div>
          <h3>Who heard it</h3>
          <ul className="card plan">
            {(why.data?.causes ?? []).map((cause, at) => (
              <li key={at} className="note">
                <Icon name={cause.kind === 'taken' ? 'check' : 'info'} size="s" />
                <span className="any">
                  {cause.message}{' '}
                  {cause.instance && (
                    <Link className="link" to="/instances/$id" params={{ id: cause.instance }}>
                      <InstanceName id={cause.instance} />
                    </Link>
                  )}
                </span>
              </li>
            ))}
          </ul>
        </div>
        <Json value={received.event} name={`event-${received.id}`} label="CloudEvent" />
      </section>
    </SidePanel>
  )
}

const SUBSCRIPTION: Record<string, State> = {
  active: { word: 'Active', icon: 'completed', tone: 'completed' },
  paused: { word: 'Paused', icon: 'suspended', tone: 'suspended' },
  disabled: { word: 'Disabled', icon: 'faulted', tone: 'faulted' },
}

function Subscriptions({
  chosen,
  onOpen,
}: {
  chosen: string | null
  onOpen: (id: string | undefined) => void
}) {
  const query = useQuery(subscriptionsQuery)
  if (query.error) {
    return (
      <div className="pad">
        <Failed error={query.error} retry={() => void query.refetch()} />
      </div>
    )
  }
  if (query.isPending) return <Loading />
  if (!query.data.items.length) {
    return (
      <Empty
        title="No subscription"
        command="orchestrator subscription create --type 'shop.*' --webhook https://shop.example/hooks"
      >
        A subscription sends events to a webhook, or starts a workflow with each.
      </Empty>
    )
  }
  const shown = query.data.items.find((each) => each.id === chosen)
  return (
    <div className="body">
      <section className="scroll grow" aria-label="Subscriptions" tabIndex={0}>
        <div className="table subscriptions-table" role="table" aria-label="Subscriptions">
          {query.data.items.map((each) => (
            // biome-ignore lint/a11y/useKeyWithClickEvents: the button inside is for the keyboard
            <div
              key={each.id}
              className={`tr two link-row ${each.id === chosen ? 'is-on' : ''}`}
              role="row"
              tabIndex={-1}
              onClick={() => onOpen(each.id)}
            >
              <span role="cell" className="two-line">
                <button type="button" className="bare t cut" onClick={() => onOpen(each.id)}>
                  <bdi>{cut(each.description || targetOf(each), 100)}</bdi>
                </button>
                <small className="cut mono">
                  <bdi>{cut(JSON.stringify(each.filter), 120)}</bdi>
                </small>
              </span>
              <span role="cell" className="mid cut">
                <bdi>{cut(targetOf(each), 80)}</bdi>
              </span>
              <span role="cell">
                <StateText
                  state={
                    SUBSCRIPTION[each.state] ?? {
                      word: each.state,
                      icon: 'unknown',
                      tone: 'pending',
                    }
                  }
                />
              </span>
              <span role="cell" className="right num">
                {each.failures > 0 && (
                  <span className="tone s-faulted">{counted(each.failures, 'failure')}</span>
                )}
              </span>
            </div>
          ))}
        </div>
      </section>
      {shown && <SubscriptionPanel subscription={shown} onClose={() => onOpen(undefined)} />}
    </div>
  )
}

function targetOf(subscription: Subscription): string {
  const { webhook, workflow } = subscription
  return webhook?.url ?? (workflow ? `starts ${workflow.name}` : '')
}

const DELIVERY: Record<string, State> = {
  pending: { word: 'Pending', icon: 'pending', tone: 'pending' },
  delivered: { word: 'Delivered', icon: 'completed', tone: 'completed' },
  failed: { word: 'Failed', icon: 'faulted', tone: 'faulted' },
}

function SubscriptionPanel({
  subscription,
  onClose,
}: {
  subscription: Subscription
  onClose: () => void
}) {
  const may = useMay('operator')
  const queries = useQueryClient()
  const found = useQuery({ ...deliveriesQuery(subscription.id), refetchInterval: 5000 })
  const again = useMutation({
    mutationFn: (delivery: Delivery) =>
      send(
        'POST',
        `/v1/subscriptions/${subscription.id}/deliveries/${delivery.id}/retry`,
        undefined,
        { 'Idempotency-Key': idempotencyKey() },
      ),
    onSuccess: () => {
      say('It is delivered again')
      void queries.invalidateQueries({ queryKey: ['subscription', subscription.id] })
    },
    onError: (error) => say('It was not delivered again', error.message, 'error'),
  })
  return (
    <SidePanel label="Subscription">
      <header>
        <div className="grow">
          <h2 className="any">
            <bdi>{cut(targetOf(subscription), 120)}</bdi>
          </h2>
          <p className="quiet small any">{subscription.reason ?? subscription.state}</p>
        </div>
        <IconButton icon="close" label="Close" small kind="quiet" onClick={onClose} />
      </header>
      <section className="inside scroll grow" tabIndex={0} aria-label="Deliveries">
        <div>
          <h3>Deliveries</h3>
          {found.data?.items.length === 0 && <p className="quiet small">None yet.</p>}
          <ul className="card plan">
            {(found.data?.items ?? []).map((each) => (
              <li key={each.id} className="plan-row">
                <StateText
                  state={
                    DELIVERY[each.state] ?? { word: each.state, icon: 'unknown', tone: 'pending' }
                  }
                />
                <span className="grow cut">
                  <bdi className="mono">{cut(each.type ?? '', 60)}</bdi>{' '}
                  <span className="quiet any">{cut(each.error ?? '', 120)}</span>
                </span>
                <span className="quiet num">{each.attempts}×</span>
                {may && each.state === 'failed' && (
                  <Button
                    small
                    icon="retry"
                    busy={again.isPending}
                    onClick={() => again.mutate(each)}
                  >
                    Again
                  </Button>
                )}
              </li>
            ))}
          </ul>
        </div>
      </section>
    </SidePanel>
  )
}
