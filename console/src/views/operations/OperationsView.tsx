/** Bulk operations, the newest first. */

import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { operations } from '../../api/queries'
import type { Operation } from '../../api/types'
import { Bar, Title } from '../../shell/Shell'
import { StateText } from '../../ui/basics'
import { Time } from '../../ui/clock'
import { Empty, Failed, Loading } from '../../ui/states'
import { count, cut } from '../../words/numbers'
import type { State } from '../../words/states'

export const STATES: Record<string, State> = {
  pending: { word: 'Pending', icon: 'pending', tone: 'pending' },
  running: { word: 'Running', icon: 'running', tone: 'running' },
  completed: { word: 'Completed', icon: 'completed', tone: 'completed' },
  cancelled: { word: 'Cancelled', icon: 'cancelled', tone: 'cancelled' },
  failed: { word: 'Failed', icon: 'faulted', tone: 'faulted' },
}
export const stateOf = (word: string): State =>
  STATES[word] ?? { word, icon: 'unknown', tone: 'pending' }

export const filterText = (operation: Operation): string =>
  Object.entries(operation.filter)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')

export function OperationsView() {
  const query = useQuery({ ...operations, refetchInterval: 3000 })
  const all = query.data?.items ?? []
  return (
    <>
      <Title text="Operations" />
      <Bar>
        <h1>Operations</h1>
      </Bar>
      <section className="scroll grow" aria-label="Operations" tabIndex={0}>
        {query.error && (
          <div className="pad">
            <Failed error={query.error} retry={() => void query.refetch()} />
          </div>
        )}
        {query.isPending && <Loading />}
        {query.data && all.length === 0 && (
          <Empty
            title="No bulk operation"
            command="orchestrator retry --query 'status=faulted&workflow=shop/order'"
          >
            Choose instances in the list, then all that match: what is done to them shows here.
          </Empty>
        )}
        {all.length > 0 && (
          <div className="table operations-table" role="table" aria-label="Operations">
            <div className="tr th" role="row">
              {['Operation', 'State', 'Reached', 'By'].map((word) => (
                <span key={word} role="columnheader">
                  {word}
                </span>
              ))}
              <span role="columnheader" className="right">
                Requested
              </span>
            </div>
            {all.map((each) => (
              <Link
                key={each.id}
                className="tr two link-row"
                role="row"
                to="/operations/$id"
                params={{ id: each.id }}
              >
                <span role="cell" className="two-line">
                  <span className="t cut">{each.action}</span>
                  <small className="cut mono">
                    <bdi>{cut(filterText(each), 160)}</bdi>
                  </small>
                </span>
                <span role="cell">
                  <StateText state={stateOf(each.state)} />
                </span>
                <span role="cell" className="num">
                  {count(each.reached)} of {count(each.matches)}
                </span>
                <span role="cell" className="mid cut">
                  <bdi>{cut(each.by, 60)}</bdi>
                </span>
                <span role="cell" className="right quiet">
                  <Time at={each.created_at} />
                </span>
              </Link>
            ))}
          </div>
        )}
      </section>
    </>
  )
}
