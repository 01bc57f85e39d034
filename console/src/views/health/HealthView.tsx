/** Whether the installation is well: findings with their commands, workers, queues. */

import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import {
  doctor as doctorQuery,
  queues as queuesQuery,
  workers as workersQuery,
} from '../../api/queries'
import type { Doctor, Finding, Queue, Worker } from '../../api/types'
import { Bar, Title } from '../../shell/Shell'
import { Button, CopyButton } from '../../ui/basics'
import { Age } from '../../ui/clock'
import { Icon } from '../../ui/icons'
import { Empty, Failed, Loading } from '../../ui/states'
import { count, counted, cut } from '../../words/numbers'

const EVERY = 5000

export function HealthView() {
  const queries = useQueryClient()
  const found = useQuery({ ...doctorQuery, refetchInterval: 30_000 })
  const workers = useQuery({ ...workersQuery, refetchInterval: EVERY })
  const queues = useQuery({ ...queuesQuery, refetchInterval: EVERY })
  const look = () => {
    for (const key of ['doctor', 'workers', 'queues']) {
      void queries.invalidateQueries({ queryKey: [key] })
    }
  }
  return (
    <>
      <Title text="Health" />
      <Bar
        actions={
          <Button icon="retry" busy={workers.isFetching && workers.isStale} onClick={look}>
            Look again
          </Button>
        }
      >
        <h1>Health</h1>
        {found.data && (
          <span className="quiet small">
            looked <Age since={found.data.checked_at} /> ago
          </span>
        )}
      </Bar>
      <section className="scroll grow" aria-label="Health" tabIndex={0}>
        {found.error && (
          <div className="pad">
            <Failed error={found.error} retry={() => void found.refetch()} />
          </div>
        )}
        {found.data && <Findings doctor={found.data} />}
        <Workers query={workers} />
        <Queues query={queues} />
      </section>
    </>
  )
}

function Findings({ doctor }: { doctor: Doctor }) {
  return (
    <section className="health-sec">
      <h2>
        Doctor <span className="n-count">{counted(doctor.findings.length, 'finding')}</span>
      </h2>
      {doctor.findings.length > 0 && (
        <div className="findings">
          {doctor.findings.map((each, at) => (
            <FindingRow key={at} finding={each} />
          ))}
        </div>
      )}
      {doctor.passed.length > 0 && (
        <p className="note gap-t">
          <Icon name="check" />
          <span>
            {counted(doctor.passed.length, 'check')} {doctor.passed.length === 1 ? 'is' : 'are'}{' '}
            fine: {doctor.passed.map((each) => each.kind).join(', ')}
          </span>
        </p>
      )}
    </section>
  )
}

function FindingRow({ finding }: { finding: Finding }) {
  return (
    <div className="finding">
      <span className={finding.severity === 'error' ? 'tone s-faulted' : 'tone s-retry'}>
        <Icon name={finding.severity === 'error' ? 'raise' : 'stuck'} />
      </span>
      <span className="two-line">
        <span className="t any">{finding.message}</span>
        <small className="any">{finding.kind}</small>
      </span>
      {finding.advice ? (
        <span className="cmd">
          <span className="cut" title={finding.advice}>
            {finding.advice}
          </span>
          <CopyButton text={finding.advice} label="Copy the advice" />
        </span>
      ) : (
        <span />
      )}
      <span className="right">
        {finding.instance && (
          <Link
            className="btn s"
            to="/instances/$id"
            params={{ id: finding.instance }}
            search={{ step: finding.step ?? undefined }}
          >
            <bdi>{cut(finding.business_id ?? finding.instance, 14)}</bdi>
          </Link>
        )}
      </span>
    </div>
  )
}

interface Asked<T> {
  data: { items: T[] } | undefined
  error: Error | null
  isPending: boolean
  refetch: () => unknown
}

const SHOWN_SLOTS = 16

function Workers({ query }: { query: Asked<Worker> }) {
  const all = query.data?.items ?? []
  const slots = all.reduce((sum, each) => sum + each.concurrency, 0)
  const free = all.reduce((sum, each) => sum + each.free, 0)
  const live = all.filter((each) => each.state === 'live').length
  return (
    <section className="health-sec">
      <h2>
        Workers{' '}
        {query.data && (
          <span className="n-count">
            {count(live)} live, {count(slots - free)} of {counted(slots, 'slot')} busy
          </span>
        )}
      </h2>
      {query.error && <Failed error={query.error} retry={() => query.refetch()} />}
      {query.isPending && <Loading rows={2} label="Loading workers" />}
      {query.data && all.length === 0 && (
        <Empty title="No worker is live" command="orchestrator worker">
          Without a worker nothing runs.
        </Empty>
      )}
      {all.length > 0 && (
        <div className="card table workers-table" role="table" aria-label="Workers">
          <div className="tr th" role="row">
            {['Worker', 'State', 'Slots', 'Queues'].map((word) => (
              <span key={word} role="columnheader">
                {word}
              </span>
            ))}
            {['Claimed', 'Continued', 'Too late', 'Last heard'].map((word) => (
              <span key={word} role="columnheader" className="right">
                {word}
              </span>
            ))}
          </div>
          {all.map((each) => (
            <WorkerRow key={each.id} worker={each} />
          ))}
        </div>
      )}
    </section>
  )
}

const WORKER_WORDS: Record<string, string> = {
  live: 'Live',
  stopping: 'Stopping',
  silent: 'Silent',
  stopped: 'Stopped',
}

function WorkerRow({ worker }: { worker: Worker }) {
  const busy = worker.concurrency - worker.free
  const silent = worker.state === 'silent'
  const late = worker.counts.stale_results ?? worker.counts.stale ?? 0
  return (
    <div className="tr two" role="row">
      <span role="cell" className="two-line">
        <span className="t cut">
          <i className={`dot ${worker.state === 'live' ? '' : silent ? 'alarm' : 'off'}`} />{' '}
          <bdi title={worker.name}>{cut(worker.name, 48)}</bdi>
        </span>
        <small>
          {worker.pool}, pid {worker.pid}
        </small>
      </span>
      <span role="cell" className={silent ? 'tone s-retry' : 'mid'}>
        {WORKER_WORDS[worker.state] ?? worker.state}
      </span>
      <span role="cell" className="st">
        {worker.concurrency <= SHOWN_SLOTS && (
          <span className="slots" aria-hidden="true">
            {Array.from({ length: worker.concurrency }, (_, at) => (
              <i key={at} className={at < busy ? 'on' : ''} />
            ))}
          </span>
        )}
        <span className="num ink">
          {busy} of {worker.concurrency}
        </span>
      </span>
      <span role="cell" className="mid cut" title={worker.queues.join(', ')}>
        <bdi>{cut(worker.queues.join(', '), 80)}</bdi>
      </span>
      <span role="cell" className="right num">
        {count(worker.counts.claimed ?? 0)}
      </span>
      <span role="cell" className="right num">
        {count(worker.counts.continued ?? 0)}
      </span>
      <span role="cell" className={`right num ${late ? 'tone s-retry' : 'quiet'}`}>
        {count(late)}
      </span>
      <span role="cell" className={`right ${silent ? 'tone s-retry' : 'quiet'}`}>
        <Age since={worker.seen_at} />
      </span>
    </div>
  )
}

function Queues({ query }: { query: Asked<Queue> }) {
  const all = query.data?.items ?? []
  const waiting = all.reduce((sum, each) => sum + each.waiting, 0)
  return (
    <section className="health-sec">
      <h2>Queues {query.data && <span className="n-count">{count(waiting)} waiting</span>}</h2>
      {query.error && <Failed error={query.error} retry={() => query.refetch()} />}
      {query.isPending && <Loading rows={2} label="Loading queues" />}
      {query.data && all.length === 0 && <Empty title="No queue has work or a worker" />}
      {all.length > 0 && (
        <div className="card table queues-table" role="table" aria-label="Queues">
          <div className="tr th" role="row">
            {['Queue', 'Waiting', 'Oldest', 'Free slots', ''].map((word) => (
              <span key={word} role="columnheader">
                {word}
              </span>
            ))}
          </div>
          {all.map((each) => (
            <QueueRow key={each.name} queue={each} />
          ))}
        </div>
      )}
    </section>
  )
}

function QueueRow({ queue }: { queue: Queue }) {
  const orphan = queue.workers === 0
  const words = orphan
    ? queue.waiting
      ? 'no consumer: nothing here will run'
      : 'no consumer'
    : `served by ${counted(queue.workers, 'worker')}`
  return (
    <div className="tr" role="row">
      <span role="cell" className="st">
        <span className={orphan && queue.waiting ? 'tone s-faulted' : 'quiet'}>
          <Icon name={orphan && queue.waiting ? 'raise' : 'queue'} />
        </span>
        <bdi className="cut ink" title={queue.name}>
          {cut(queue.name, 60)}
        </bdi>
      </span>
      <span role="cell" className={`num ${queue.waiting ? '' : 'quiet'}`}>
        {count(queue.waiting)}
        {queue.exact ? '' : '+'}
      </span>
      <span role="cell" className="mid">
        {queue.oldest && <Age since={queue.oldest} />}
      </span>
      <span role="cell" className="mid num">
        {queue.free} of {queue.slots}
      </span>
      <span role="cell" className={orphan && queue.waiting ? 'tone s-faulted' : 'quiet'}>
        {words}
        {orphan && queue.waiting > 0 && (
          <>
            {' '}
            <CopyButton
              text={`orchestrator worker -Q ${queue.name}`}
              label="Copy the command that starts a worker"
            />
          </>
        )}
      </span>
    </div>
  )
}
