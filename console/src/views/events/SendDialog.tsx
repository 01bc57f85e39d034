/** Send an event: to all who wait for it, or into the mailbox of one instance. */

import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { idempotencyKey, send } from '../../api/client'
import { instance as instanceQuery } from '../../api/queries'
import type { EventPlan } from '../../api/types'
import { Button, Note, Segments } from '../../ui/basics'
import { Icon } from '../../ui/icons'
import { Dialog, Field, say } from '../../ui/overlays'
import { usePreferences } from '../../ui/preferences'
import { Failed } from '../../ui/states'
import { count, cut } from '../../words/numbers'
import { cli, curl, type Option } from '../../words/shell'
import { Equivalents } from '../repair/Equivalents'
import { JsonArea } from '../workflows/InputForm'
import { parsed } from '../workflows/inputSchema'

interface Addressee {
  id: string
  business_id?: string | null
  workflow?: { namespace: string }
}

interface SendProps {
  type?: string
  instance?: Addressee
  namespace?: string
  onClose: () => void
}

export function SendDialog({ type: given = '', instance, namespace, onClose }: SendProps) {
  const preferences = usePreferences()
  const queries = useQueryClient()
  const [to, setTo] = useState<'one' | 'all'>(instance ? 'one' : 'all')
  const [type, setType] = useState(given)
  const [source, setSource] = useState('/console')
  const [subject, setSubject] = useState('')
  const [text, setText] = useState('{}')
  const read = parsed(text)
  const into = instance?.workflow?.namespace ?? (namespace || preferences.namespace)
  const [id] = useState(() => crypto.randomUUID())
  const body = {
    specversion: '1.0',
    id,
    source,
    type,
    ...(subject && { subject }),
    data: read.value,
  }
  const single = to === 'one' && instance
  const path = single
    ? `/v1/instances/${instance.id}/events`
    : `/v1/events${into ? `?namespace=${encodeURIComponent(into)}` : ''}`
  const act = useMutation({
    mutationFn: () => send('POST', path, body, { 'Idempotency-Key': idempotencyKey() }),
    onSuccess: () => {
      say('Event accepted', type)
      void queries.invalidateQueries({ queryKey: ['listeners'] })
      void queries.invalidateQueries({ queryKey: ['events'] })
      void queries.invalidateQueries({ queryKey: ['instance'] })
      onClose()
    },
  })
  const ready = type.trim() !== '' && source.trim() !== '' && !read.error && !act.isPending
  const found = useQuery({
    ...instanceQuery(instance?.id ?? ''),
    enabled: Boolean(instance) && !instance?.business_id,
  }).data?.value
  const name = instance?.business_id ?? found?.business_id ?? instance?.id ?? ''
  const options: Option[] = [
    ['data', JSON.stringify(read.value ?? {})],
    ['source', source],
    ['subject', subject || undefined],
    ['namespace', single ? undefined : into || undefined],
    ['to', single ? instance.id : undefined],
  ]
  return (
    <Dialog
      open
      onClose={onClose}
      onConfirm={() => ready && act.mutate()}
      title="Send an event"
      icon={<Icon name="emit" />}
      note={instance && `filled in from what ${cut(name, 40)} waits for`}
      footer={
        <>
          <span className="grow" />
          <Button onClick={onClose}>Close</Button>
          <Button
            kind="primary"
            icon="emit"
            disabled={!ready}
            busy={act.isPending}
            onClick={() => act.mutate()}
          >
            {single ? `Send to ${cut(name, 30)}` : 'Send to all who wait'}
          </Button>
        </>
      }
    >
      {act.error && <Failed error={act.error} />}
      {instance && (
        <Segments
          label="To"
          value={to}
          options={[
            { value: 'one', text: `Only ${cut(name, 30)}` },
            { value: 'all', text: 'All who wait' },
          ]}
          onChange={setTo}
        />
      )}
      <Field label="Type">
        {(field) => (
          <input
            id={field}
            className="input"
            maxLength={1000}
            value={type}
            onChange={(event) => setType(event.target.value)}
          />
        )}
      </Field>
      <div className="two-columns">
        <Field label="Source">
          {(field) => (
            <input
              id={field}
              className="input"
              maxLength={1000}
              value={source}
              onChange={(event) => setSource(event.target.value)}
            />
          )}
        </Field>
        <Field label="Subject">
          {(field) => (
            <input
              id={field}
              className="input"
              maxLength={1000}
              placeholder="optional"
              value={subject}
              onChange={(event) => setSubject(event.target.value)}
            />
          )}
        </Field>
      </div>
      <div>
        <p className="label gap-b">Data, as JSON</p>
        <JsonArea
          label="Data of the event"
          text={text}
          onChange={setText}
          error={read.error}
          rows={5}
        />
      </div>
      <WhoHears path={path} body={body} ready={type.trim() !== '' && !read.error} />
      <Equivalents cli={cli('event send', [type], options)} curl={curl('POST', path, body)} />
    </Dialog>
  )
}

const SHOWN = 8
/** The server is asked once the event has not changed for so long, in ms. */
const REST = 300

/** Who would hear this event: the server decides it as it would for the event itself. */
function WhoHears({ path, body, ready }: { path: string; body: object; ready: boolean }) {
  const text = useRested(JSON.stringify(body), REST)
  const question = `${path}${path.includes('?') ? '&' : '?'}dry_run=true`
  const { data, error } = useQuery({
    queryKey: ['event-dry-run', question, text],
    queryFn: async () => (await send<EventPlan>('POST', question, JSON.parse(text))).data,
    enabled: ready && __API__.eventDryRuns,
    placeholderData: keepPreviousData,
    staleTime: 0,
    gcTime: 0,
    retry: false,
  })
  if (error) return <Failed error={error} />
  if (!data || !ready) return null
  const rest = data.listeners.length - SHOWN + data.more
  const nobody =
    !data.listeners.length && !data.starts.length && !data.webhooks.length && !data.mailbox
  return (
    <section aria-label="Who would hear it" aria-live="polite">
      <p className="label gap-b">Who would hear it</p>
      <ul className="card plan">
        {data.listeners.slice(0, SHOWN).map((each, at) => (
          <li key={at} className="plan-row">
            <Icon name="listen" size="s" />
            <b className="ink cut">
              <bdi>{cut(each.business_id ?? each.instance, 60)}</bdi>
            </b>
            <span className="quiet cut">
              <bdi>{cut(`${each.workflow.namespace}/${each.workflow.name}, ${each.name}`, 80)}</bdi>
            </span>
          </li>
        ))}
        {rest > 0 && <li className="plan-row quiet">and {count(rest)} more</li>}
        {data.starts.map((each) => (
          <li key={each.id} className="plan-row">
            <Icon name="play" size="s" />
            <span className="any">
              {each.certain ? 'It starts ' : 'It may start '}
              <bdi>{cut(`${each.workflow.namespace}/${each.workflow.name}`, 80)}</bdi>
            </span>
          </li>
        ))}
        {data.webhooks.map((each) => (
          <li key={each.id} className="plan-row">
            <Icon name="external" size="s" />
            <span className="any">
              A subscription: <bdi>{cut(each.description ?? each.id, 80)}</bdi>
            </span>
          </li>
        ))}
        {data.mailbox && !data.listeners.length && (
          <li className="plan-row">
            <Icon name="inbox" size="s" />
            <span className="any">
              It stays in the mailbox until a step of the instance waits for it
            </span>
          </li>
        )}
        {nobody && <li className="plan-row quiet">nobody now</li>}
      </ul>
      {data.duplicate && (
        <Note icon="stuck">An event of this id and source was received before</Note>
      )}
      {data.warnings.map((each) => (
        <Note key={each} icon="stuck" tone="retry">
          {cut(each, 400)}
        </Note>
      ))}
    </section>
  )
}

/** A text once it has not changed for a while. */
function useRested(text: string, ms: number): string {
  const [rested, setRested] = useState(text)
  useEffect(() => {
    const timer = setTimeout(() => setRested(text), ms)
    return () => clearTimeout(timer)
  }, [text, ms])
  return rested
}
