/** What waits for a person: dead letters, steps of unknown outcome, faults that hold. */

import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { deadLetters, instancesPage } from '../../api/queries'
import type { DeadLetter, Summary } from '../../api/types'
import { Bar, Title } from '../../shell/Shell'
import { useMay } from '../../shell/useMay'
import { Button, StateText } from '../../ui/basics'
import { Age } from '../../ui/clock'
import { Icon } from '../../ui/icons'
import { usePreferences } from '../../ui/preferences'
import { Empty, Failed, Loading } from '../../ui/states'
import { count, cut } from '../../words/numbers'
import { ATTENTION, type State, status } from '../../words/states'
import { asError, errorLine } from '../../words/why'
import { InstanceName } from '../events/EventsView'
import type { ActionName } from '../repair/actions'

const LETTER: State = { word: 'Dead letter', icon: 'inbox', tone: 'faulted' }

export function NeedsView() {
  const { namespace } = usePreferences()
  const letters = useQuery({ ...deadLetters(), refetchInterval: 10_000 })
  // A fault that nothing undid holds until a person retries, skips or compensates.
  const held = useQuery({
    queryKey: ['instances', 'held', namespace],
    queryFn: () =>
      instancesPage(
        { status: 'faulted', compensation: 'none', ...(namespace && { namespace }) },
        200,
      ),
  })
  const unknown = useQuery({
    queryKey: ['instances', 'outcome-unknown', namespace],
    enabled: __API__.attention,
    queryFn: () =>
      instancesPage({ attention: 'outcome_unknown', ...(namespace && { namespace }) }, 200),
  })
  const open = (letters.data?.items ?? []).filter(
    (each) => !namespace || each.namespace === namespace,
  )
  const uncertain = unknown.data?.items ?? []
  const known = new Set([...open.map((each) => each.instance), ...uncertain.map((each) => each.id)])
  const faults = (held.data?.items ?? []).filter((each) => !known.has(each.id))
  const all = open.length + faults.length + uncertain.length
  const error = letters.error ?? held.error
  return (
    <>
      <Title text="Needs a person" />
      <Bar>
        <h1>Needs a person</h1>
        {letters.data && held.data && <span className="quiet num">{count(all)}</span>}
      </Bar>
      <section className="scroll grow" aria-label="Needs a person" tabIndex={0}>
        {error && (
          <div className="pad">
            <Failed error={error} retry={() => void letters.refetch()} />
          </div>
        )}
        {(letters.isPending || held.isPending) && <Loading />}
        {letters.data && held.data && all === 0 && (
          <Empty title="Nothing waits for a person" command="orchestrator dead-letter list">
            Undo steps that gave up, steps of unknown outcome and faults that hold stand here.
          </Empty>
        )}
        {all > 0 && (
          <div className="table needs-table" role="table" aria-label="Needs a person">
            <div className="tr th" role="row">
              {['What', 'Instance', 'Step, and what happened'].map((word) => (
                <span key={word} role="columnheader">
                  {word}
                </span>
              ))}
              <span role="columnheader" className="right">
                Since
              </span>
              <span role="columnheader" />
            </div>
            {open.map((each) => (
              <LetterRow key={each.id} letter={each} />
            ))}
            {uncertain.map((each) => (
              <HeldRow key={each.id} instance={each} state={ATTENTION.outcome_unknown} />
            ))}
            {faults.map((each) => (
              <HeldRow key={each.id} instance={each} />
            ))}
          </div>
        )}
      </section>
    </>
  )
}

const nameOf = (reference: string | null): string =>
  reference
    ?.replace(/\/metadata\/compensate$/, '')
    .split('/')
    .at(-1) ?? ''

function LetterRow({ letter }: { letter: DeadLetter }) {
  const navigate = useNavigate()
  const may = useMay('operator')
  const act = (action: ActionName) =>
    void navigate({
      to: '/instances/$id',
      params: { id: letter.instance },
      search: { act: action, on: letter.step, step: letter.step },
    })
  const undo = letter.reason === 'compensation'
  return (
    <div className="tr two" role="row">
      <span role="cell">
        <StateText state={LETTER} />
      </span>
      <span role="cell" className="two-line">
        <Link
          className="t cut link"
          to="/instances/$id"
          params={{ id: letter.instance }}
          search={{ step: letter.step }}
        >
          <InstanceName id={letter.instance} known={letter.business_id} />
        </Link>
        <small>{letter.namespace}</small>
      </span>
      <span role="cell" className="two-line">
        <span className="cut">
          <bdi>{cut(nameOf(letter.reference) || `step ${letter.step}`, 60)}</bdi>
          {undo ? ', undo' : ''}
        </span>
        <small className="cut tone s-faulted">
          <bdi>{cut(errorLine(asError(letter.error)), 300)}</bdi>
        </small>
      </span>
      <span role="cell" className="right quiet">
        <Age since={letter.created_at} />
      </span>
      <span role="cell" className="btns right">
        {may && (
          <>
            <Button small icon="retry" onClick={() => act('letter-retry')}>
              Try again…
            </Button>
            <Button small icon="check" onClick={() => act('letter-resolve')}>
              Resolve…
            </Button>
          </>
        )}
      </span>
    </div>
  )
}

function HeldRow({ instance, state }: { instance: Summary; state?: State }) {
  const navigate = useNavigate()
  const may = useMay('operator')
  const { namespace, name, version } = instance.workflow
  const step = instance.steps?.[0]
  const act = (action: ActionName) =>
    void navigate({ to: '/instances/$id', params: { id: instance.id }, search: { act: action } })
  return (
    <div className="tr two" role="row">
      <span role="cell" className="two-line">
        <StateText state={state ?? status('faulted')} />
        {!state && <small className="under quiet">holds</small>}
      </span>
      <span role="cell" className="two-line">
        <Link className="t cut link" to="/instances/$id" params={{ id: instance.id }}>
          <bdi>{cut(instance.business_id ?? instance.id, 60)}</bdi>
        </Link>
        <small className="cut">
          {namespace}/{cut(name, 60)} {version}
        </small>
      </span>
      <span role="cell" className="two-line">
        <span className="cut">
          <bdi>{step ? cut(step.name, 60) : ''}</bdi>
        </span>
        <small className="cut">
          <bdi>
            {instance.error ? cut(errorLine(asError(instance.error)), 300) : 'Nothing was undone'}
          </bdi>
        </small>
      </span>
      <span role="cell" className="right quiet">
        <Age since={instance.ended_at ?? instance.created_at} />
      </span>
      <span role="cell" className="btns right">
        {may && !state && (
          <>
            <Button small icon="retry" onClick={() => act('retry')}>
              Retry…
            </Button>
            <Button small icon="undo" onClick={() => act('compensate')}>
              Compensate…
            </Button>
          </>
        )}
        {state && <Icon name="right" />}
      </span>
    </div>
  )
}
