/** All workflows, each with its newest version. */

import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { counts, workflows } from '../../api/queries'
import type { Workflow } from '../../api/types'
import { Bar, Title } from '../../shell/Shell'
import { useMay } from '../../shell/useMay'
import { Button } from '../../ui/basics'
import { Age } from '../../ui/clock'
import { Icon } from '../../ui/icons'
import { usePreferences } from '../../ui/preferences'
import { Empty, Failed, Loading } from '../../ui/states'
import { count, cut } from '../../words/numbers'
import { status } from '../../words/states'

export function WorkflowsView() {
  const { q = '' } = useSearch({ strict: false }) as { q?: string }
  const { namespace } = usePreferences()
  const navigate = useNavigate()
  const query = useQuery(workflows())
  const may = useMay('operator')
  const all = (query.data?.items ?? []).filter(
    (each) =>
      (!namespace || each.namespace === namespace) &&
      `${each.namespace}/${each.name} ${each.title ?? ''}`.toLowerCase().includes(q.toLowerCase()),
  )
  return (
    <>
      <Title text="Workflows" />
      <Bar
        actions={
          may && (
            <Button icon="edit" onClick={() => void navigate({ to: '/new-workflow' })}>
              Write one
            </Button>
          )
        }
      >
        <h1>Workflows</h1>
        {query.data && <span className="quiet num">{count(all.length)}</span>}
      </Bar>
      <div className="filters">
        <label className="search">
          <Icon name="search" />
          <span className="sr">Filter by name</span>
          <span className="filter-input">
            <input
              data-filter
              placeholder="Filter by name or title…"
              value={q}
              maxLength={255}
              onChange={(event) =>
                void navigate({
                  to: '/workflows',
                  search: { q: event.target.value || undefined },
                  replace: true,
                })
              }
            />
          </span>
          <kbd>/</kbd>
        </label>
      </div>
      <section className="scroll grow" aria-label="Workflows" tabIndex={0}>
        {query.error && (
          <div className="pad">
            <Failed error={query.error} retry={() => void query.refetch()} />
          </div>
        )}
        {query.isPending && <Loading />}
        {query.data && all.length === 0 && (
          <Empty
            title={query.data.items.length ? 'No workflow matches' : 'No workflow yet'}
            command={query.data.items.length ? undefined : 'orchestrator deploy order.yaml'}
          >
            {query.data.items.length
              ? ''
              : 'A workflow is a YAML document; deploy one, or write it here.'}
          </Empty>
        )}
        {all.length > 0 && (
          <div className="table workflows-table" role="table" aria-label="Workflows">
            <div className="tr th" role="row">
              <span role="columnheader">Workflow</span>
              <span role="columnheader">Title</span>
              <span role="columnheader">Instances now</span>
              <span role="columnheader">Version</span>
              <span role="columnheader" className="right">
                Deployed
              </span>
            </div>
            {all.map((each) => (
              <WorkflowRow key={`${each.namespace}/${each.name}`} workflow={each} />
            ))}
          </div>
        )}
      </section>
    </>
  )
}

function WorkflowRow({ workflow }: { workflow: Workflow }) {
  const { namespace, name, version, title, summary } = workflow
  return (
    <Link
      className="tr two link-row"
      role="row"
      to="/workflows/$namespace/$name"
      params={{ namespace, name }}
    >
      <span role="cell" className="cut">
        <bdi title={name}>
          {namespace}/{cut(name, 80)}
        </bdi>
      </span>
      <span role="cell" className="two-line">
        <bdi className="cut">{cut(title ?? '', 120)}</bdi>
        {summary && (
          <small className="cut">
            <bdi>{cut(summary, 160)}</bdi>
          </small>
        )}
      </span>
      <span role="cell">
        <OpenCounts workflow={`${namespace}/${name}`} />
      </span>
      <span role="cell" className="mid cut">
        {version}
      </span>
      <span role="cell" className="right quiet">
        <Age since={workflow.created_at} />
      </span>
    </Link>
  )
}

const SHOWN = ['running', 'waiting', 'suspended', 'faulted']

/** How many instances are open or faulted, by status. */
export function OpenCounts({ workflow }: { workflow: string }) {
  const found = useQuery({ ...counts({ workflow }), staleTime: 10_000 }).data
  const shown = (found?.items ?? []).filter((each) => SHOWN.includes(each.status) && each.count)
  return (
    <span className="open-counts">
      {shown.map((each) => {
        const state = status(each.status)
        return (
          <span key={each.status} className={`st s-${state.tone}`} title={state.word}>
            <Icon name={state.icon} size="s" />
            {count(each.count)}
            {each.exact ? '' : '+'}
            <span className="sr"> {state.word}</span>
          </span>
        )
      })}
    </span>
  )
}
