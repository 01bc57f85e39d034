/** Start an instance: a form from the workflow's input schema, or its input as JSON. */

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { idempotencyKey, send } from '../../api/client'
import { workflows, workflowVersion } from '../../api/queries'
import type { Summary } from '../../api/types'
import { Button } from '../../ui/basics'
import { Icon } from '../../ui/icons'
import { Dialog, Field, say } from '../../ui/overlays'
import { Failed } from '../../ui/states'
import { cli, curl } from '../../words/shell'
import { Equivalents } from '../repair/Equivalents'
import { InputForm } from './InputForm'
import { parsed, schemaOf } from './inputSchema'

export interface Prefill {
  namespace: string
  name: string
  version?: string
  input?: unknown
  labels?: Record<string, string>
}

export function StartDialog({ onClose, prefill }: { onClose: () => void; prefill?: Prefill }) {
  const known = useQuery(workflows()).data?.items ?? []
  const [chosen, setChosen] = useState(prefill ? `${prefill.namespace}/${prefill.name}` : '')
  const current = chosen || (known[0] ? `${known[0].namespace}/${known[0].name}` : '')
  const [namespace = '', name = ''] = current.split('/')
  const newest = known.find((each) => each.namespace === namespace && each.name === name)
  const version = prefill?.version ?? newest?.version ?? ''
  const document = useQuery({
    ...workflowVersion(namespace, name, version),
    enabled: Boolean(version),
  }).data?.document
  const schema = schemaOf(document)
  const [text, setText] = useState(() => JSON.stringify(prefill?.input ?? {}, null, 2))
  const [businessId, setBusinessId] = useState('')
  const [labels, setLabels] = useState(() => labelText(prefill?.labels ?? {}))
  const navigate = useNavigate()
  const queries = useQueryClient()
  const input = parsed(text)
  const body = {
    workflow: { namespace, name, ...(prefill?.version ? { version } : {}) },
    input: input.value,
    ...(businessId && { business_id: businessId }),
    ...(labels.trim() && { labels: labelsOf(labels) }),
  }
  const start = useMutation({
    mutationFn: async () =>
      (await send<Summary>('POST', '/v1/instances', body, { 'Idempotency-Key': idempotencyKey() }))
        .data,
    onSuccess: (started) => {
      void queries.invalidateQueries({ queryKey: ['instances'] })
      say('Started', started.business_id ?? started.id)
      onClose()
      void navigate({ to: '/instances/$id', params: { id: started.id } })
    },
  })
  const ready = Boolean(current) && !input.error && !start.isPending
  return (
    <Dialog
      open
      onClose={onClose}
      title={prefill ? `Start ${prefill.namespace}/${prefill.name} again` : 'Start an instance'}
      icon={<Icon name="play" />}
      onConfirm={() => ready && start.mutate()}
      footer={
        <>
          <span className="grow" />
          <Button onClick={onClose}>Close</Button>
          <Button
            kind="primary"
            icon="play"
            disabled={!ready}
            busy={start.isPending}
            onClick={() => start.mutate()}
          >
            Start
          </Button>
        </>
      }
    >
      {start.error && <Failed error={start.error} />}
      {!prefill && (
        <Field label="Workflow">
          {(id) => (
            <select
              id={id}
              className="input"
              value={current}
              onChange={(event) => setChosen(event.target.value)}
            >
              {known.map((each) => (
                <option key={`${each.namespace}/${each.name}`}>
                  {`${each.namespace}/${each.name}`}
                </option>
              ))}
            </select>
          )}
        </Field>
      )}
      <InputForm schema={schema} text={text} onChange={setText} error={input.error} />
      <div className="two-columns">
        <Field label="Business id" help="Your own id, unique in the namespace">
          {(id) => (
            <input
              id={id}
              className="input"
              maxLength={1000}
              value={businessId}
              onChange={(event) => setBusinessId(event.target.value)}
            />
          )}
        </Field>
        <Field label="Labels" help="name=value, separated by commas">
          {(id) => (
            <input
              id={id}
              className="input"
              value={labels}
              onChange={(event) => setLabels(event.target.value)}
            />
          )}
        </Field>
      </div>
      <Equivalents
        cli={cli(
          'start',
          [current],
          [
            ['input', JSON.stringify(input.value ?? {})],
            ['business-id', businessId || undefined],
            ...Object.entries(labelsOf(labels)).map(([k, v]): [string, string] => [
              'label',
              `${k}=${v}`,
            ]),
          ],
        )}
        curl={curl('POST', '/v1/instances', body)}
      />
    </Dialog>
  )
}

const labelText = (labels: Record<string, string>): string =>
  Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ')

function labelsOf(text: string): Record<string, string> {
  const pairs = text.split(',').flatMap((each) => {
    const [name, ...value] = each.split('=')
    return name?.trim() ? [[name.trim(), value.join('=').trim()]] : []
  })
  return Object.fromEntries(pairs)
}
