/** Schedules: when workflows start by themselves, and what became of it. */

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { useState } from 'react'
import { idempotencyKey, send } from '../../api/client'
import { told } from '../../api/problem'
import type { components } from '../../api/schema'
import type { Page } from '../../api/types'
import { Bar, Title } from '../../shell/Shell'
import { useMay } from '../../shell/useMay'
import { Button, IconButton, StateChip, StateText } from '../../ui/basics'
import { Time, useNow } from '../../ui/clock'
import { Icon } from '../../ui/icons'
import { Dialog, Field, say } from '../../ui/overlays'
import { usePreferences } from '../../ui/preferences'
import { Empty, Failed, Loading } from '../../ui/states'
import { count, counted, cut } from '../../words/numbers'
import { cli, curl, quote } from '../../words/shell'
import type { State } from '../../words/states'
import { micros, relative, span } from '../../words/time'
import { SidePanel } from '../instance/SidePanel'
import { Equivalents } from '../repair/Equivalents'
import { timingSource, timingWords } from './timing'

type Schedule = components['schemas']['ScheduleSummary']
type Detailed = components['schemas']['Schedule']
type Firing = components['schemas']['Firing']

const STATES: Record<string, State> = {
  active: { word: 'Active', icon: 'completed', tone: 'completed' },
  paused: { word: 'Paused', icon: 'suspended', tone: 'suspended' },
  stopped: { word: 'Stopped', icon: 'cancelled', tone: 'cancelled' },
}
const OUTCOMES: Record<string, State> = {
  started: { word: 'Started', icon: 'completed', tone: 'completed' },
  queued: { word: 'Queued', icon: 'pending', tone: 'pending' },
  skipped: { word: 'Skipped', icon: 'cancelled', tone: 'cancelled' },
}
const other = (word: string): State => ({ word, icon: 'unknown', tone: 'pending' })

export function SchedulesView() {
  const { id } = useSearch({ strict: false }) as { id?: string }
  const navigate = useNavigate()
  const { namespace } = usePreferences()
  const may = useMay('operator')
  const [act, setAct] = useState<{ kind: ActionKind; schedules: Schedule[] } | null>(null)
  const query = useQuery({
    queryKey: ['schedules'],
    queryFn: async () => (await send<Page<Schedule>>('GET', '/v1/schedules?limit=500')).data,
    refetchInterval: 10_000,
  })
  const all = (query.data?.items ?? []).filter((each) => !namespace || each.namespace === namespace)
  const active = all.filter((each) => each.state === 'active')
  const open = (next: string | undefined) =>
    void navigate({ to: '/schedules', search: { id: next }, replace: true })
  const chosen = all.find((each) => each.id === id)
  return (
    <>
      <Title text="Schedules" />
      <Bar
        actions={
          may &&
          active.length > 1 && (
            <Button icon="pause" onClick={() => setAct({ kind: 'pause', schedules: active })}>
              Pause all…
            </Button>
          )
        }
      >
        <h1>Schedules</h1>
        {query.data && <span className="quiet num">{count(all.length)}</span>}
      </Bar>
      {query.error && (
        <div className="pad">
          <Failed error={query.error} retry={() => void query.refetch()} />
        </div>
      )}
      {query.isPending && <Loading />}
      {query.data && all.length === 0 && (
        <Empty title="No workflow has a schedule" command="orchestrator schedule list">
          Give a document a <code>schedule</code>, such as <code>every: PT5M</code>, and deploy it.
        </Empty>
      )}
      {all.length > 0 && (
        <div className="body">
          <section className="scroll grow" aria-label="Schedules" tabIndex={0}>
            <div className="table schedules-table" role="table" aria-label="Schedules">
              <div className="tr th" role="row">
                {['Workflow', 'When', 'Next', 'State'].map((word) => (
                  <span key={word} role="columnheader">
                    {word}
                  </span>
                ))}
              </div>
              {all.map((each) => (
                <ScheduleRow key={each.id} schedule={each} on={each.id === id} onOpen={open} />
              ))}
            </div>
          </section>
          {chosen && (
            <SchedulePanel
              schedule={chosen}
              onClose={() => open(undefined)}
              onAct={may ? (kind) => setAct({ kind, schedules: [chosen] }) : undefined}
            />
          )}
        </div>
      )}
      {act && <ScheduleDialog {...act} onClose={() => setAct(null)} />}
    </>
  )
}

function ScheduleRow({
  schedule,
  on,
  onOpen,
}: {
  schedule: Schedule
  on: boolean
  onOpen: (id: string) => void
}) {
  const now = useNow()
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the button inside is for the keyboard
    <div
      className={`tr two link-row ${on ? 'is-on' : ''}`}
      role="row"
      tabIndex={-1}
      onClick={() => onOpen(schedule.id)}
    >
      <span role="cell" className="two-line">
        <button type="button" className="bare t cut" onClick={() => onOpen(schedule.id)}>
          <bdi>
            {schedule.namespace}/{cut(schedule.workflow, 60)}
          </bdi>
        </button>
        <small>{schedule.version}</small>
      </span>
      <span role="cell" className="two-line">
        <span className="cut">{timingWords(schedule.kind, schedule.timing)}</span>
        <small className="cut mono">{cut(timingSource(schedule.kind, schedule.timing), 80)}</small>
      </span>
      <span role="cell" className="two-line">
        {schedule.next_at ? (
          <>
            <span className="num">{relative(micros(schedule.next_at), now)}</span>
            <small>
              <Time at={schedule.next_at} fraction />
            </small>
          </>
        ) : (
          <span className="quiet">{schedule.waiting ? 'after the last one' : 'none'}</span>
        )}
      </span>
      <span role="cell">
        <StateChip state={STATES[schedule.state] ?? other(schedule.state)} />
      </span>
    </div>
  )
}

function SchedulePanel({
  schedule,
  onClose,
  onAct,
}: {
  schedule: Schedule
  onClose: () => void
  onAct?: (kind: ActionKind) => void
}) {
  const now = useNow()
  const { id } = schedule
  const detailed = useQuery({
    queryKey: ['schedules', id, 'next'],
    queryFn: async () => (await send<Detailed>('GET', `/v1/schedules/${id}?next=5`)).data,
    refetchInterval: 10_000,
  }).data
  const firings = useQuery({
    queryKey: ['schedules', id, 'firings'],
    queryFn: async () =>
      (await send<Page<Firing>>('GET', `/v1/schedules/${id}/firings?limit=50`)).data,
    refetchInterval: 10_000,
  }).data
  const paused = schedule.state === 'paused'
  return (
    <SidePanel label="Schedule">
      <header>
        <div className="grow">
          <h2 className="any">
            <Link
              className="link"
              to="/workflows/$namespace/$name"
              params={{ namespace: schedule.namespace, name: schedule.workflow }}
            >
              <bdi>
                {schedule.namespace}/{cut(schedule.workflow, 80)}
              </bdi>
            </Link>
          </h2>
          <p className="quiet small">{timingWords(schedule.kind, schedule.timing)}</p>
        </div>
        <IconButton icon="close" label="Close" small kind="quiet" onClick={onClose} />
      </header>
      {onAct && (
        <div className="btns panel-actions">
          <Button small icon="play" onClick={() => onAct('trigger')}>
            Run now…
          </Button>
          {schedule.state !== 'stopped' && (
            <Button
              small
              icon={paused ? 'play' : 'pause'}
              onClick={() => onAct(paused ? 'resume' : 'pause')}
            >
              {paused ? 'Resume…' : 'Pause…'}
            </Button>
          )}
          <Button small icon="down" onClick={() => onAct('backfill')}>
            Backfill…
          </Button>
        </div>
      )}
      <section className="inside scroll grow" tabIndex={0} aria-label="Schedule">
        <div>
          <h3>Next</h3>
          <ul className="card plan">
            {(detailed?.next ?? []).map((each) => (
              <li key={each.due} className="plan-row">
                <Time at={each.fires_at} fraction />
                <span className="grow" />
                <span className="quiet">{relative(micros(each.fires_at), now)}</span>
              </li>
            ))}
            {detailed && detailed.next.length === 0 && (
              <li className="plan-row quiet">none is due</li>
            )}
          </ul>
        </div>
        <div>
          <h3>Fired</h3>
          <ul className="card plan">
            {(firings?.items ?? []).map((each) => (
              <FiringRow key={`${each.due} ${each.reason}`} firing={each} />
            ))}
            {firings && firings.items.length === 0 && <li className="plan-row quiet">not yet</li>}
          </ul>
        </div>
        <Policy policy={schedule.policy} />
      </section>
    </SidePanel>
  )
}

function FiringRow({ firing }: { firing: Firing }) {
  const late = firing.delay_seconds === null ? '' : `${span(firing.delay_seconds * 1000)} late`
  return (
    <li className="plan-row">
      <Time at={firing.due} />
      <StateText state={OUTCOMES[firing.outcome] ?? other(firing.outcome)} />
      {firing.why && <span className="quiet">{firing.why}</span>}
      <span className="grow" />
      {firing.instance ? (
        <Link className="link" to="/instances/$id" params={{ id: firing.instance }}>
          {late || 'open'}
        </Link>
      ) : (
        <span className="quiet">{late}</span>
      )}
    </li>
  )
}

function Policy({ policy }: { policy: unknown }) {
  const entries = Object.entries((policy ?? {}) as Record<string, unknown>)
  if (!entries.length) return null
  return (
    <div>
      <h3>Rules</h3>
      <dl className="kv">
        {entries.map(([name, value]) => (
          <div key={name} className="kv-row">
            <dt>{name}</dt>
            <dd className="any">
              {typeof value === 'string' ? value : cut(JSON.stringify(value), 200)}
            </dd>
          </div>
        ))}
      </dl>
    </div>
  )
}

type ActionKind = 'trigger' | 'pause' | 'resume' | 'backfill'

const WORDS: Record<ActionKind, { title: string; icon: 'play' | 'pause' | 'down' }> = {
  trigger: { title: 'Run now', icon: 'play' },
  pause: { title: 'Pause', icon: 'pause' },
  resume: { title: 'Resume', icon: 'play' },
  backfill: { title: 'Backfill', icon: 'down' },
}

function ScheduleDialog({
  kind,
  schedules,
  onClose,
}: {
  kind: ActionKind
  schedules: Schedule[]
  onClose: () => void
}) {
  const [reason, setReason] = useState('')
  const [from, setFrom] = useState('')
  const [to, setTo] = useState('')
  const queries = useQueryClient()
  const words = WORDS[kind]
  const said = reason.trim() ? { reason: reason.trim() } : {}
  const act = useMutation({
    mutationFn: async () => {
      const refused: string[] = []
      for (const schedule of schedules) {
        try {
          await perform(kind, schedule.id, { from, to, said })
        } catch (error) {
          if (schedules.length === 1) throw error
          refused.push(`${schedule.workflow}: ${told(error).detail}`)
        }
      }
      return refused
    },
    onSuccess: (refused) => {
      void queries.invalidateQueries({ queryKey: ['schedules'] })
      const done = schedules.length - refused.length
      say(`${words.title}: ${counted(done, 'schedule')}`, refused.join('. ') || undefined)
      onClose()
    },
  })
  const [first] = schedules
  const ready = kind !== 'backfill' || (from !== '' && to !== '')
  const name = first ? `${first.namespace}/${first.workflow}` : ''
  const request = requestOf(kind, first?.id ?? '', { from, to, said })
  return (
    <Dialog
      open
      onClose={onClose}
      onConfirm={() => ready && !act.isPending && act.mutate()}
      title={`${words.title}: ${schedules.length === 1 ? cut(name, 60) : counted(schedules.length, 'schedule')}`}
      icon={<Icon name={words.icon} />}
      footer={
        <>
          <span className="grow" />
          <Button onClick={onClose}>Close</Button>
          <Button
            kind="primary"
            icon={words.icon}
            disabled={!ready}
            busy={act.isPending}
            onClick={() => act.mutate()}
          >
            {words.title}
          </Button>
        </>
      }
    >
      {act.error && <Failed error={act.error} />}
      <p className="mid">{meaning(kind, schedules.length)}</p>
      {kind === 'backfill' && (
        <div className="two-columns">
          <Field label="From, in UTC">
            {(id) => (
              <input
                id={id}
                className="input"
                type="datetime-local"
                value={from}
                onChange={(event) => setFrom(event.target.value)}
              />
            )}
          </Field>
          <Field label="To, in UTC">
            {(id) => (
              <input
                id={id}
                className="input"
                type="datetime-local"
                value={to}
                onChange={(event) => setTo(event.target.value)}
              />
            )}
          </Field>
        </div>
      )}
      <Field label="Reason">
        {(id) => (
          <input
            id={id}
            className="input tall"
            maxLength={2000}
            placeholder="Goes into the audit"
            value={reason}
            onChange={(event) => setReason(event.target.value)}
          />
        )}
      </Field>
      <Equivalents
        cli={cli(
          `schedule ${kind}`,
          kind === 'trigger' || kind === 'backfill'
            ? [name]
            : schedules.map((each) => `${each.namespace}/${each.workflow}`),
          [
            ['from', kind === 'backfill' ? utc(from) : undefined],
            ['to', kind === 'backfill' ? utc(to) : undefined],
            ['reason', reason.trim() || undefined],
          ],
        )}
        curl={curl(request.method, request.path, request.body)}
      />
    </Dialog>
  )
}

function meaning(kind: ActionKind, n: number): string {
  switch (kind) {
    case 'trigger':
      return 'Starts an instance now, beside its due times.'
    case 'pause':
      return `Starts no instance until ${n === 1 ? 'it is' : 'they are'} resumed. What runs goes on.`
    case 'resume':
      return 'Goes on at the next due time. Missed ones are handled as the schedule says.'
    case 'backfill':
      return 'Fires every due time of a past range, both ends included.'
  }
}

/** What an input of the browser holds, as a time in UTC. */
const utc = (local: string): string =>
  local ? `${local.length === 16 ? `${local}:00` : local}Z` : ''

interface Given {
  from: string
  to: string
  said: { reason?: string }
}

function requestOf(kind: ActionKind, id: string, { from, to, said }: Given) {
  const path = `/v1/schedules/${quote(id)}`
  if (kind === 'pause' || kind === 'resume') {
    return { method: 'PATCH', path, body: { paused: kind === 'pause', ...said } }
  }
  const body = kind === 'backfill' ? { from: utc(from), to: utc(to), ...said } : said
  return { method: 'POST', path: `${path}/${kind}`, body }
}

async function perform(kind: ActionKind, id: string, given: Given): Promise<void> {
  const { method, path, body } = requestOf(kind, id, given)
  const headers: Record<string, string> =
    method === 'POST' ? { 'Idempotency-Key': idempotencyKey() } : {}
  await send(method, path, body, headers)
}
