/** Two runs beside each other: how they ended, where the time went, each step, the data. */

import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { useMemo, useState } from 'react'
import { instance as instanceQuery, instancesPage, steps as stepsQuery } from '../../api/queries'
import type { Instance, Step, Summary } from '../../api/types'
import { account, SPENT, total } from '../../layout/account'
import { compareRuns, isSlower } from '../../layout/compareRuns'
import { jsonDiff } from '../../layout/jsonDiff'
import { Bar, Crumb, Title } from '../../shell/Shell'
import { Button, Segments, StateText } from '../../ui/basics'
import { TimeAndAge, useNow } from '../../ui/clock'
import { DiffView } from '../../ui/DiffView'
import { Empty, Failed, Loading } from '../../ui/states'
import { count, cut } from '../../words/numbers'
import { standing } from '../../words/states'
import { span } from '../../words/time'
import { asError, errorLine } from '../../words/why'
import { StepRows } from './StepRows'

type CompareSearch = Record<string, string | undefined>

export function CompareView() {
  const { a, b }: CompareSearch = useSearch({ strict: false }) as CompareSearch
  const navigate = useNavigate()
  const first = useRun(a)
  const second = useRun(b)
  const error = first.error ?? second.error
  const set = (search: CompareSearch) => void navigate({ to: '/compare', search })
  return (
    <>
      <Title text="Compare" />
      <Bar
        actions={
          a &&
          b && (
            <>
              <Button icon="compare" onClick={() => set({ a: b, b: a })}>
                Swap
              </Button>
              <Button onClick={() => set({ a })}>Another run…</Button>
            </>
          )
        }
      >
        <Crumb>
          {[
            <Link key="i" to="/instances">
              Instances
            </Link>,
          ]}
        </Crumb>
        <h1 className="cut">Compare</h1>
      </Bar>
      <section className="scroll grow" aria-label="Comparison" tabIndex={0}>
        {error ? (
          <div className="pad">
            <Failed error={error} />
          </div>
        ) : first.run && second.run ? (
          <Compared a={first.run} b={second.run} />
        ) : first.run && !b ? (
          <Picker of={first.run.instance} onPick={(id) => set({ a, b: id })} />
        ) : a ? (
          <Loading rows={8} />
        ) : (
          <Empty title="Nothing to compare">
            Choose two rows of the instances, or "Compare…" of one.
          </Empty>
        )}
      </section>
    </>
  )
}

interface Run {
  instance: Instance
  steps: Step[]
}

function useRun(id: string | undefined): { run: Run | null; error: unknown } {
  const enabled = Boolean(id)
  const found = useQuery({ ...instanceQuery(id ?? ''), enabled })
  const steps = useQuery({ ...stepsQuery(id ?? ''), enabled })
  const run =
    found.data && steps.data ? { instance: found.data.value, steps: steps.data.items } : null
  return { run, error: found.error ?? steps.error }
}

/** Recent runs of the same workflow, those that ended well first: what one mostly compares with. */
function Picker({ of, onPick }: { of: Instance; onPick: (id: string) => void }) {
  const { namespace, name } = of.workflow
  const query = useQuery({
    queryKey: ['instances', 'compare', namespace, name],
    queryFn: () => instancesPage({ workflow: `${namespace}/${name}` }, 100),
  })
  const others = (query.data?.items ?? []).filter((each) => each.id !== of.id)
  const good = (each: Summary): number => (each.status === 'completed' ? 0 : 1)
  const sorted = others.toSorted((one, other) => good(one) - good(other))
  return (
    <div className="pad stack">
      <h2 className="section-title">
        Compare <bdi>{cut(of.business_id ?? of.id, 60)}</bdi> with
      </h2>
      {query.error && <Failed error={query.error} />}
      {query.data && !others.length && (
        <p className="quiet">
          {namespace}/{name} has no other run.
        </p>
      )}
      <ul className="card plan picker">
        {sorted.map((each) => (
          <li key={each.id} className="plan-row">
            <StateText state={standing(each).first} />
            <button type="button" className="link bare cut" onClick={() => onPick(each.id)}>
              <bdi>{cut(each.business_id ?? each.id, 60)}</bdi>
            </button>
            <span className="quiet small">{each.workflow.version}</span>
            <span className="grow" />
            <span className="quiet small">
              {each.started_at && <TimeAndAge at={each.started_at} />}
            </span>
          </li>
        ))}
      </ul>
    </div>
  )
}

type Only = 'all' | 'differ'

function Compared({ a, b }: { a: Run; b: Run }) {
  const [only, setOnly] = useState<Only>('all')
  const pairs = useMemo(() => compareRuns(a.steps, b.steps), [a.steps, b.steps])
  const differing = useMemo(() => pairs.filter((pair) => pair.differs || isSlower(pair)), [pairs])
  return (
    <>
      <Heads a={a} b={b} />
      <div className="tabs compare-tabs">
        <h2 className="section-title">Steps</h2>
        <span className="side">
          <Segments
            label="Which steps"
            value={only}
            options={[
              { value: 'all', text: `All ${count(pairs.length)}` },
              { value: 'differ', text: `Different ${count(differing.length)}` },
            ]}
            onChange={setOnly}
          />
        </span>
      </div>
      <StepRows pairs={only === 'all' ? pairs : differing} a={a.instance.id} b={b.instance.id} />
      <div className="pad data-grid">
        <DataDiff title="Input" a={a.instance.input} b={b.instance.input} />
        <DataDiff title="Output" a={a.instance.output} b={b.instance.output} />
      </div>
    </>
  )
}

function DataDiff({ title, a, b }: { title: string; a: unknown; b: unknown }) {
  const lines = useMemo(() => jsonDiff(a ?? null, b ?? null), [a, b])
  const same = lines.every((line) => line.kind === 'same' || line.kind === 'gap')
  return (
    <div>
      <p className="label">{title}</p>
      {same ? (
        <p className="quiet">The same.</p>
      ) : (
        <DiffView lines={lines} label={`${title}, what differs`} />
      )}
    </div>
  )
}

/** How each ended and where its time went, one line a fact. */
function Heads({ a, b }: { a: Run; b: Run }) {
  const now = useNow()
  const runs = [a, b]
  const spent = runs.map((run) => account(run.steps, now))
  const shown = SPENT.filter((each) => spent.some((of) => of[each] >= 0.5))
  return (
    <div className="table compare-heads" role="table" aria-label="Both runs">
      <div className="tr" role="row">
        <span role="columnheader" className="quiet" />
        {runs.map(({ instance }) => (
          <span key={instance.id} role="columnheader" className="cut">
            <Link className="link cut" to="/instances/$id" params={{ id: instance.id }}>
              <bdi>{cut(instance.business_id ?? instance.id, 60)}</bdi>
            </Link>
          </span>
        ))}
      </div>
      <Fact name="Status">
        {runs.map(({ instance }) => {
          const { first, second } = standing(instance)
          return (
            <>
              <StateText state={first} />
              {second && <StateText state={second} />}
            </>
          )
        })}
      </Fact>
      <Fact name="Version">
        {runs.map(({ instance: { workflow } }) => (
          <bdi key="v">{`${workflow.namespace}/${workflow.name} ${workflow.version}`}</bdi>
        ))}
      </Fact>
      <Fact name="Started">
        {runs.map(({ instance }) =>
          instance.started_at ? <TimeAndAge key="t" at={instance.started_at} /> : 'not yet',
        )}
      </Fact>
      {runs.some((run) => run.instance.error) && (
        <Fact name="Error">
          {runs.map(({ instance }) => (
            <bdi key="e" className="any">
              {instance.error ? cut(errorLine(asError(instance.error)), 300) : 'none'}
            </bdi>
          ))}
        </Fact>
      )}
      <Fact name="Took">
        {runs.map(({ instance }) => (
          <b key="s" className="num">
            {span(total(instance, now))}
          </b>
        ))}
      </Fact>
      {shown.map((each) => (
        <Fact key={each} name={`of it ${each}`}>
          {spent.map((of) => (
            <span key="n" className="num mid">
              {of[each] >= 0.5 ? span(of[each]) : '0'}
            </span>
          ))}
        </Fact>
      ))}
    </div>
  )
}

function Fact({ name, children }: { name: string; children: React.ReactNode[] }) {
  return (
    <div className="tr" role="row">
      <span role="rowheader" className="quiet small">
        {name}
      </span>
      {children.map((each, at) => (
        <span key={at} role="cell" className="fact">
          {each}
        </span>
      ))}
    </div>
  )
}
