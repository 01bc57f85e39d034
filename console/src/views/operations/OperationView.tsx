/** One bulk operation: its progress, and what became of what it reached. */

import {
  keepPreviousData,
  useInfiniteQuery,
  useMutation,
  useQuery,
  useQueryClient,
} from '@tanstack/react-query'
import { Link, useParams } from '@tanstack/react-router'
import { send } from '../../api/client'
import { instancesPage, operation as operationQuery, outcomesPage } from '../../api/queries'
import type { Operation, OperationDetails } from '../../api/types'
import { Bar, Crumb, Title } from '../../shell/Shell'
import { useMay } from '../../shell/useMay'
import { Button, Id, StateChip, StateText } from '../../ui/basics'
import { TimeAndAge } from '../../ui/clock'
import { say } from '../../ui/overlays'
import { Failed, Loading } from '../../ui/states'
import { count, cut } from '../../words/numbers'
import { type State, standing, status } from '../../words/states'
import { filterText, stateOf } from './OperationsView'

const OPEN = ['pending', 'running']

export function OperationView() {
  const { id } = useParams({ strict: false }) as { id: string }
  const may = useMay('operator')
  const queries = useQueryClient()
  const query = useQuery({
    ...operationQuery(id),
    refetchInterval: ({ state: { data } }) =>
      data && !OPEN.includes(data.state) && !data.outcomes?.pending ? false : 1000,
  })
  const stop = useMutation({
    mutationFn: () => send('DELETE', `/v1/operations/${id}`),
    onSuccess: () => void queries.invalidateQueries({ queryKey: ['operation', id] }),
    onError: (error) => say('It could not be stopped', error.message, 'error'),
  })
  const found = query.data
  return (
    <>
      <Title text="Operation" />
      <Bar
        actions={
          may &&
          found &&
          OPEN.includes(found.state) && (
            <Button
              icon="cancelled"
              kind="danger"
              busy={stop.isPending}
              onClick={() => stop.mutate()}
            >
              Stop
            </Button>
          )
        }
      >
        <Crumb>
          {[
            <Link key="o" to="/operations">
              Operations
            </Link>,
          ]}
        </Crumb>
        <h1 className="cut">{found?.action ?? 'Operation'}</h1>
        {found && <StateChip state={stateOf(found.state)} />}
      </Bar>
      <section className="scroll grow" aria-label="Operation" tabIndex={0}>
        {query.error && (
          <div className="pad">
            <Failed error={query.error} retry={() => void query.refetch()} />
          </div>
        )}
        {query.isPending && <Loading />}
        {found && <Details operation={found} />}
      </section>
    </>
  )
}

function Details({ operation }: { operation: OperationDetails }) {
  const { outcomes, matches, reached } = operation
  const share = matches ? Math.min(1, reached / matches) : 1
  return (
    <>
      <div className="pad stack operation">
        <p className="progress-line">
          <b className="num">
            {count(reached)} of {count(matches)}
          </b>{' '}
          reached
          <span
            className="meter wide"
            role="progressbar"
            aria-valuenow={Math.round(share * 100)}
            aria-valuemin={0}
            aria-valuemax={100}
            aria-label="Reached"
          >
            <i style={{ width: `${share * 100}%` }} />
          </span>
        </p>
        {outcomes && (
          <p className="outcomes num">
            <span className="tone s-completed">{count(outcomes.moved)} moved on</span>
            <span className="tone s-faulted">{count(outcomes.faulted_again)} faulted again</span>
            <span className="tone s-retry">{count(outcomes.refused)} refused</span>
            {outcomes.pending > 0 && (
              <span className="quiet">{count(outcomes.pending)} still on their way</span>
            )}
            {outcomes.gone > 0 && <span className="quiet">{count(outcomes.gone)} deleted</span>}
          </p>
        )}
        {operation.error && <p className="tone s-faulted any">{operation.error}</p>}
        <dl className="kv">
          <dt>Filter</dt>
          <dd className="mono any">
            <bdi>{filterText(operation)}</bdi>
          </dd>
          <dt>By</dt>
          <dd className="any">
            <bdi>{operation.by}</bdi>
          </dd>
          <dt>Reason</dt>
          <dd className="any">
            {operation.reason ? <bdi>{operation.reason}</bdi> : 'none was given'}
          </dd>
          <dt>Requested</dt>
          <dd>
            <TimeAndAge at={operation.created_at} />
          </dd>
          <dt>Id</dt>
          <dd>
            <Id id={operation.id} />
          </dd>
        </dl>
      </div>
      {outcomes ? <Outcomes operation={operation} /> : <StillMatching operation={operation} />}
    </>
  )
}

const OUTCOME: Record<string, State> = {
  moved: { word: 'Moved on', icon: 'completed', tone: 'completed' },
  faulted_again: { word: 'Faulted again', icon: 'faulted', tone: 'faulted' },
  refused: { word: 'Refused', icon: 'stuck', tone: 'retry' },
  pending: { word: 'On its way', icon: 'pending', tone: 'pending' },
  gone: { word: 'Deleted', icon: 'cancelled', tone: 'cancelled' },
}

/** What became of each instance; more is read when it is asked for. */
function Outcomes({ operation }: { operation: OperationDetails }) {
  const { id, state, reached, outcomes } = operation
  const query = useInfiniteQuery({
    // Read anew whenever the operation says that something changed.
    queryKey: ['operation', id, 'outcomes', state, reached, outcomes],
    placeholderData: keepPreviousData,
    queryFn: ({ pageParam }) => outcomesPage(id, pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
  })
  const items = query.data?.pages.flatMap((page) => page.items) ?? []
  if (query.error) return <Failed error={query.error} />
  if (!items.length) return null
  return (
    <div className="pad">
      <h2 className="section-title">What became of each</h2>
      <ul className="card plan outcome-list">
        {items.map((each) => (
          <li key={each.instance} className="plan-row">
            <span className="outcome">
              <StateText state={OUTCOME[each.outcome] ?? status(each.outcome)} />
            </span>
            <Link className="link cut" to="/instances/$id" params={{ id: each.instance }}>
              <bdi>{cut(each.business_id ?? each.instance, 60)}</bdi>
            </Link>
            <span className="mid small any grow">
              <bdi>{cut(each.reason ?? '', 300)}</bdi>
            </span>
            {each.status && <StateText state={status(each.status)} />}
          </li>
        ))}
      </ul>
      {query.hasNextPage && (
        <Button busy={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
          Show more
        </Button>
      )}
    </div>
  )
}

/** What the same filter selects now: those that did not move, and those that fell back. */
function StillMatching({ operation }: { operation: Operation }) {
  const letters = 'instance' in operation.filter
  const query = useQuery({
    queryKey: ['instances', 'of-operation', operation.id, operation.reached],
    queryFn: () => instancesPage(operation.filter as Record<string, string>, 50),
    enabled: !letters,
  })
  if (letters || !query.data) return null
  return (
    <div className="pad">
      <h2 className="section-title">
        {query.data.items.length
          ? 'What matches the filter now: not reached yet, refused, or back again'
          : 'Nothing matches the filter any more'}
      </h2>
      <ul className="card plan">
        {query.data.items.map((each) => (
          <li key={each.id} className="plan-row">
            <StateText state={standing(each).first} />
            <Link className="link cut" to="/instances/$id" params={{ id: each.id }}>
              <bdi>{cut(each.business_id ?? each.id, 60)}</bdi>
            </Link>
            <span className="quiet cut">
              {each.workflow.namespace}/{each.workflow.name}
            </span>
          </li>
        ))}
      </ul>
    </div>
  )
}
