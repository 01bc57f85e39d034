/** Send an event: to all who wait for it, or into the mailbox of one instance. */

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { idempotencyKey, send } from '../../api/client'
import { instance as instanceQuery, listeners as listenersQuery } from '../../api/queries'
import { Button, Note, Segments } from '../../ui/basics'
import { Icon } from '../../ui/icons'
import { Dialog, Field, say } from '../../ui/overlays'
import { usePreferences } from '../../ui/preferences'
import { Failed } from '../../ui/states'
import { counted, cut } from '../../words/numbers'
import { cli, curl, type Option } from '../../words/shell'
import { Equivalents } from '../repair/Equivalents'
import { JsonArea } from '../workflows/InputForm'
import { parsed } from '../workflows/inputSchema'
import { typesOf } from './filters'

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
      <WhoWaits type={type} single={Boolean(single)} name={name} />
      <Equivalents cli={cli('event send', [type], options)} curl={curl('POST', path, body)} />
    </Dialog>
  )
}

/** Who waits for this type. Whether a filter matches the data is decided by the server. */
function WhoWaits({ type, single, name }: { type: string; single: boolean; name: string }) {
  const found = useQuery(listenersQuery).data
  if (!found) return null
  const waiting = found.items.filter((each) => typesOf(each.filters).includes(type)).length
  const more = found.next ? ' at least' : ''
  return (
    <div className="card plan">
      <div className="note">
        <Icon name="info" size="s" />
        <span className="any">
          {single
            ? `It goes into the mailbox of ${cut(name, 60)} alone`
            : `${counted(waiting, 'listener')}${more} wait${waiting === 1 ? 's' : ''} for this type`}
        </span>
      </div>
      {!single && <Note icon="info">Instances started after the event never hear it</Note>}
    </div>
  )
}
