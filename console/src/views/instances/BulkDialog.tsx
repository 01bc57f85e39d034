/** A bulk action: what it would reach, a reason, a typed count, and then each outcome. */

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { idempotencyKey, send } from '../../api/client'
import { told } from '../../api/problem'
import type { Filters } from '../../api/queries'
import type { Operation, Summary } from '../../api/types'
import { Button, Note, StateText } from '../../ui/basics'
import { Icon, type IconName } from '../../ui/icons'
import { Dialog, Field, say } from '../../ui/overlays'
import { Failed, Loading } from '../../ui/states'
import { count, counted, cut } from '../../words/numbers'
import { cli, curl } from '../../words/shell'
import { standing } from '../../words/states'
import { Equivalents } from '../repair/Equivalents'
import type { BulkAction } from './BulkBar'

export type Target = { ids: string[] } | { filters: Filters }

const WORDS: Record<BulkAction, { title: string; verb: string; icon: IconName; tone: string }> = {
  retry: { title: 'Retry', verb: 'Retry', icon: 'retry', tone: 'retry' },
  suspend: { title: 'Suspend', verb: 'Suspend', icon: 'pause', tone: 'suspended' },
  resume: { title: 'Resume', verb: 'Resume', icon: 'play', tone: 'running' },
  cancel: { title: 'Cancel and undo', verb: 'Cancel and undo', icon: 'undo', tone: 'undo' },
  terminate: {
    title: 'Terminate without undo',
    verb: 'Terminate',
    icon: 'cancelled',
    tone: 'faulted',
  },
  compensate: { title: 'Compensate', verb: 'Compensate', icon: 'undo', tone: 'undo' },
}

/** More than these need their number typed. */
const TYPED = 20

interface Reach {
  matches: number
  sample: Summary[]
  will_refuse?: { reason: string; count: number }[]
}

export function BulkDialog({
  action,
  target,
  onClose,
  onDone,
}: {
  action: BulkAction
  target: Target
  onClose: () => void
  onDone: () => void
}) {
  const words = WORDS[action]
  const [reason, setReason] = useState('')
  const [typed, setTyped] = useState('')
  const navigate = useNavigate()
  const queries = useQueryClient()
  const reach = useQuery({
    queryKey: ['bulk', action, target],
    queryFn: () => reachOf(action, target),
    staleTime: 0,
    gcTime: 0,
  })
  const matches = reach.data?.matches ?? 0
  const confirmed =
    matches > 0 && (matches <= TYPED || typed.replace(/\D/g, '') === String(matches))
  const act = useMutation({
    mutationFn: () => perform(action, target, reason),
    onSuccess: (result) => {
      void queries.invalidateQueries({ queryKey: ['instances'] })
      if (result.operation) {
        onDone()
        say(`${words.verb}: under way`, `${count(matches)} instances`)
        void navigate({ to: '/operations/$id', params: { id: result.operation } })
      }
    },
  })
  const outcomes = act.data?.outcomes
  return (
    <Dialog
      open
      onClose={() => {
        if (outcomes) onDone()
        onClose()
      }}
      title={`${words.title}: ${reach.data ? counted(matches, 'instance') : '…'}`}
      icon={
        <span className={`s-${words.tone} tone`}>
          <Icon name={words.icon} />
        </span>
      }
      onConfirm={() => confirmed && !act.isPending && !outcomes && act.mutate()}
      footer={
        <>
          <span className="note">Each outcome is kept; a refusal stops nobody else.</span>
          <Button onClick={onClose}>Close</Button>
          {!outcomes && (
            <Button
              kind="primary"
              icon={words.icon}
              disabled={!confirmed}
              busy={act.isPending}
              onClick={() => act.mutate()}
            >
              {words.verb} {reach.data ? count(matches) : ''}
            </Button>
          )}
        </>
      }
    >
      {reach.error && <Failed error={reach.error} retry={() => void reach.refetch()} />}
      {act.error && <Failed error={act.error} />}
      {reach.isPending && <Loading rows={3} />}
      {reach.data && !outcomes && <ReachList reach={reach.data} />}
      {outcomes && <Outcomes outcomes={outcomes} />}
      {!outcomes && (
        <>
          <Field label="Reason">
            {(id) => (
              <input
                id={id}
                className="input"
                maxLength={2000}
                value={reason}
                placeholder="Goes into the audit"
                onChange={(event) => setReason(event.target.value)}
              />
            )}
          </Field>
          {matches > TYPED && (
            <Field label={`Type ${count(matches)} to confirm`}>
              {(id) => (
                <input
                  id={id}
                  className="input num"
                  inputMode="numeric"
                  autoComplete="off"
                  value={typed}
                  onChange={(event) => setTyped(event.target.value)}
                />
              )}
            </Field>
          )}
          <BulkEquivalents action={action} target={target} reason={reason} />
        </>
      )}
    </Dialog>
  )
}

function ReachList({ reach }: { reach: Reach }) {
  const rest = reach.matches - reach.sample.length
  return (
    <div>
      <p className="label gap-b">It would reach</p>
      <ul className="card plan">
        {reach.sample.slice(0, 8).map((each) => (
          <li key={each.id} className="plan-row">
            <StateText state={standing(each).first} />
            <bdi className="cut">{cut(each.business_id ?? each.id, 60)}</bdi>
            <span className="quiet small cut">
              {each.workflow.namespace}/{each.workflow.name}
            </span>
          </li>
        ))}
        {reach.matches > Math.min(8, reach.sample.length) && (
          <li className="plan-row quiet">
            and {count(rest > 0 ? reach.matches - 8 : reach.sample.length - 8)} more
          </li>
        )}
        {reach.matches === 0 && <li className="plan-row quiet">nobody: none matches any more</li>}
      </ul>
      {reach.will_refuse?.map((each) => (
        <Note key={each.reason} icon="info">
          {counted(each.count, 'instance')} will refuse: {each.reason}
        </Note>
      ))}
    </div>
  )
}

interface Outcome {
  id: string
  name: string
  error?: string
}

function Outcomes({ outcomes }: { outcomes: Outcome[] }) {
  const refused = outcomes.filter((each) => each.error)
  return (
    <div role="status">
      <p className="label gap-b">
        {counted(outcomes.length - refused.length, 'instance')} accepted it, {count(refused.length)}{' '}
        refused
      </p>
      <ul className="card plan">
        {[...refused, ...outcomes.filter((each) => !each.error)].map((each) => (
          <li key={each.id} className="plan-row">
            <span className={each.error ? 's-faulted tone' : 's-completed tone'}>
              <Icon name={each.error ? 'faulted' : 'completed'} size="s" />
            </span>
            <Link className="link cut" to="/instances/$id" params={{ id: each.id }}>
              <bdi>{cut(each.name, 60)}</bdi>
            </Link>
            <span className="mid small any grow">{each.error ?? 'accepted'}</span>
          </li>
        ))}
      </ul>
    </div>
  )
}

async function reachOf(action: BulkAction, target: Target): Promise<Reach> {
  if ('ids' in target) {
    const sample = await Promise.all(
      target.ids
        .slice(0, 8)
        .map(async (id) => (await send<Summary>('GET', `/v1/instances/${id}`)).data),
    )
    return { matches: target.ids.length, sample }
  }
  const body = { action, filter: target.filters, dry_run: true }
  const { data } = await send<Reach>('POST', '/v1/operations', body, {
    'Idempotency-Key': idempotencyKey(),
  })
  return data
}

interface Performed {
  operation?: string
  outcomes?: Outcome[]
}

async function perform(action: BulkAction, target: Target, reason: string): Promise<Performed> {
  const said = reason.trim() ? { reason: reason.trim() } : {}
  if ('filters' in target) {
    const body = { action, filter: target.filters, ...said }
    const { data } = await send<Operation>('POST', '/v1/operations', body, {
      'Idempotency-Key': idempotencyKey(),
    })
    return { operation: data.id }
  }
  const outcomes: Outcome[] = []
  for (const id of target.ids) {
    try {
      await send('POST', `/v1/instances/${id}/${action}`, said, {
        'Idempotency-Key': idempotencyKey(),
      })
      outcomes.push({ id, name: id })
    } catch (error) {
      const { title, detail } = told(error)
      outcomes.push({ id, name: id, error: detail || title })
    }
  }
  return { outcomes }
}

function BulkEquivalents({
  action,
  target,
  reason,
}: {
  action: BulkAction
  target: Target
  reason: string
}) {
  const said = reason.trim() || undefined
  if ('ids' in target) {
    return (
      <Equivalents
        cli={cli(action, target.ids.slice(0, 50), [['reason', said]])}
        curl={curl(
          'POST',
          `/v1/instances/${target.ids[0]}/${action}`,
          said ? { reason: said } : {},
        )}
      />
    )
  }
  const query = Object.entries(target.filters)
    .map(([name, value]) => `${name}=${value}`)
    .join('&')
  return (
    <Equivalents
      cli={cli(
        action,
        [],
        [
          ['query', query],
          ['reason', said],
        ],
      )}
      curl={curl('POST', '/v1/operations', {
        action,
        filter: target.filters,
        ...(said && { reason: said }),
      })}
    />
  )
}
