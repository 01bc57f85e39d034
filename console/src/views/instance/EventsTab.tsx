/** What an instance waits for, the events in its mailbox, and the sub-workflows that it started. */

import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useState } from 'react'
import { send } from '../../api/client'
import { children as childrenQuery } from '../../api/queries'
import type { Instance, Page, ReceivedEvent, Step, Summary } from '../../api/types'
import { useMay } from '../../shell/useMay'
import { Button, StateText } from '../../ui/basics'
import { Time } from '../../ui/clock'
import { Icon } from '../../ui/icons'
import { cut } from '../../words/numbers'
import { standing } from '../../words/states'
import { filtersText } from '../events/filters'
import { SendDialog } from '../events/SendDialog'

export function EventsTab({ instance, steps }: { instance: Instance; steps: Step[] }) {
  const [sending, setSending] = useState<string | null>(null)
  const may = useMay('operator')
  const mailbox = useQuery({
    queryKey: ['instance', instance.id, 'mailbox'],
    queryFn: async () =>
      (await send<Page<ReceivedEvent>>('GET', `/v1/events?target=${instance.id}&limit=100`)).data,
  })
  const waiting = instance.waiting_for.filter((each) => each.kind === 'event')
  const hasChildren = steps.some((step) => step.child)
  return (
    <div className="pad stack">
      <section>
        <h2 className="section-title">Waits for</h2>
        {waiting.length === 0 && <p className="quiet small">No event.</p>}
        {waiting.map((each) => (
          <div key={each.step} className="plan-row">
            <Icon name="listen" size="s" />
            <bdi className="cut mono">{filtersText(each.filters)}</bdi>
            <span className="quiet small">{each.reference?.split('/').at(-1)}</span>
            <span className="grow" />
            {may && (
              <Button small icon="emit" onClick={() => setSending(firstType(each.filters))}>
                Send one…
              </Button>
            )}
          </div>
        ))}
      </section>
      <section>
        <h2 className="section-title">In its mailbox</h2>
        {mailbox.data?.items.length === 0 && (
          <p className="quiet small">No event was addressed to it.</p>
        )}
        {mailbox.data?.items.map((each) => (
          <div key={each.id} className="plan-row">
            <Icon name="events" size="s" />
            <bdi className="cut mono">{cut(typeOf(each), 80)}</bdi>
            <span className="grow" />
            <span className="quiet small">
              <Time at={each.created_at} />
              {each.matched_at ? ', taken' : ', not taken'}
            </span>
          </div>
        ))}
      </section>
      <section>
        <h2 className="section-title">Sub-workflows</h2>
        {hasChildren ? (
          <Children id={instance.id} depth={0} />
        ) : (
          <p className="quiet small">It started none.</p>
        )}
      </section>
      {sending !== null && (
        <SendDialog type={sending} instance={instance} onClose={() => setSending(null)} />
      )}
    </div>
  )
}

const typeOf = (received: ReceivedEvent): string =>
  String((received.event as { type?: unknown } | null)?.type ?? '')

function firstType(filters: unknown): string {
  const list = Array.isArray(filters) ? filters : []
  const first = list[0] as { with?: { type?: unknown } } | undefined
  return typeof first?.with?.type === 'string' ? first.with.type : ''
}

const DEEPEST = 8

function Children({ id, depth }: { id: string; depth: number }) {
  const found = useQuery(childrenQuery(id)).data?.items ?? []
  return (
    <ul role={depth === 0 ? 'tree' : 'group'} aria-label="Sub-workflows">
      {found.map((child) => (
        <Child key={child.id} child={child} depth={depth} />
      ))}
    </ul>
  )
}

function Child({ child, depth }: { child: Summary; depth: number }) {
  const [open, setOpen] = useState(false)
  const { first, second } = standing(child)
  return (
    <li role="treeitem" aria-level={depth + 1} aria-selected="false" aria-expanded={open}>
      <div className="plan-row" style={{ paddingLeft: depth * 20 }}>
        <button
          type="button"
          className="btn icon s quiet"
          aria-label={open ? 'Fold' : 'Open'}
          onClick={() => setOpen(!open)}
        >
          <Icon name={open ? 'down' : 'right'} />
        </button>
        <StateText state={first} />
        {second && <small className={`tone s-${second.tone}`}>{second.word.toLowerCase()}</small>}
        <Link className="link cut" to="/instances/$id" params={{ id: child.id }}>
          <bdi>{cut(child.business_id ?? child.id, 60)}</bdi>
        </Link>
        <span className="quiet small cut">
          {child.workflow.namespace}/{child.workflow.name} {child.workflow.version}
        </span>
      </div>
      {open && depth < DEEPEST && <Children id={child.id} depth={depth + 1} />}
    </li>
  )
}
