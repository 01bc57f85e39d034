/** One workflow: what it is doing, its document, its versions. */

import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router'
import { lazy, Suspense, useMemo, useState } from 'react'
import { changesOf, counts, versions as versionsQuery, workflowVersion } from '../../api/queries'
import type { Version } from '../../api/types'
import { lineDiff } from '../../layout/jsonDiff'
import { Bar, Crumb, Title } from '../../shell/Shell'
import { useMay } from '../../shell/useMay'
import { Button, Id, Segments, Tabs } from '../../ui/basics'
import { TimeAndAge } from '../../ui/clock'
import { DiffView } from '../../ui/DiffView'
import { Failed, Loading } from '../../ui/states'
import { count, cut } from '../../words/numbers'
import { deployedText } from './deployedText'
import { Overview } from './Overview'
import { StartDialog } from './StartDialog'

const DocumentTab = lazy(() => import('./DocumentTab'))

interface WorkflowSearch {
  tab?: string
  version?: string
  since?: string
  compare?: string
  task?: string
}

type Tab = 'overview' | 'document' | 'versions'

export function WorkflowView() {
  const { namespace, name } = useParams({ strict: false }) as { namespace: string; name: string }
  const search = useSearch({ strict: false }) as WorkflowSearch
  const navigate = useNavigate()
  const may = useMay('operator')
  const [starting, setStarting] = useState(false)
  const versions = useQuery(versionsQuery(namespace, name))
  const version = search.version ?? versions.data?.[0]?.version ?? ''
  const found = useQuery({
    ...workflowVersion(namespace, name, version),
    enabled: version !== '',
  })
  const setSearch = (change: WorkflowSearch) =>
    void navigate({
      to: '/workflows/$namespace/$name',
      params: { namespace, name },
      search: { ...search, ...change },
    })
  const tab = (['document', 'versions'].includes(search.tab ?? '') ? search.tab : 'overview') as Tab
  const error = versions.error ?? found.error
  return (
    <>
      <Title text={`${namespace}/${cut(name, 50)}`} />
      <Bar
        actions={
          may && (
            <>
              <Button icon="play" onClick={() => setStarting(true)}>
                Start…
              </Button>
              {tab !== 'document' && (
                <Button icon="edit" onClick={() => setSearch({ tab: 'document' })}>
                  Edit
                </Button>
              )}
            </>
          )
        }
      >
        <Crumb>
          {[
            <Link key="w" to="/workflows">
              Workflows
            </Link>,
          ]}
        </Crumb>
        <h1 className="cut">
          <bdi title={name}>
            {namespace}/{cut(name, 60)}
          </bdi>
        </h1>
        <span className="chip plain s-pending">{version}</span>
      </Bar>
      <Tabs<Tab | 'instances'>
        label="Parts of the workflow"
        value={tab}
        onChange={(next) => {
          if (next !== 'instances') setSearch({ tab: next === 'overview' ? undefined : next })
          else void navigate({ to: '/instances', search: { workflow: `${namespace}/${name}` } })
        }}
        options={[
          { value: 'overview', text: 'Overview' },
          { value: 'document', text: 'Document' },
          { value: 'versions', text: 'Versions', count: versions.data?.length },
          { value: 'instances', text: 'Instances', count: useTotal(`${namespace}/${name}`) },
        ]}
        side={
          tab === 'overview' && (
            <Segments
              label="Time range"
              value={search.since ?? '24h'}
              options={['1h', '24h', '7d'].map((value) => ({ value, text: value }))}
              onChange={(since) => setSearch({ since })}
            />
          )
        }
      />
      {error ? (
        <div className="pad">
          <Failed error={error} retry={() => void versions.refetch()} />
        </div>
      ) : !found.data ? (
        <Loading />
      ) : tab === 'overview' ? (
        <Overview
          namespace={namespace}
          name={name}
          document={found.data.document}
          since={search.since ?? '24h'}
          task={search.task ?? null}
          onTask={(task) => setSearch({ task })}
        />
      ) : tab === 'document' ? (
        <Suspense fallback={<Loading />}>
          <DocumentTab
            key={version}
            namespace={namespace}
            name={name}
            version={version}
            document={found.data.document}
            onDeployed={(deployed) => setSearch({ version: deployed, tab: undefined })}
          />
        </Suspense>
      ) : (
        <Versions
          namespace={namespace}
          name={name}
          versions={versions.data ?? []}
          current={version}
          compare={search.compare ?? versionBefore(versions.data ?? [], version)}
          onOpen={(next) => setSearch({ version: next, tab: undefined })}
          onCompare={(compare) => setSearch({ compare })}
        />
      )}
      {starting && (
        <StartDialog
          prefill={{ namespace, name, version: search.version }}
          onClose={() => setStarting(false)}
        />
      )}
    </>
  )
}

function useTotal(workflow: string): string | undefined {
  const { data } = useQuery({ ...counts({ workflow }), staleTime: 5000 })
  if (!data) return undefined
  return count(data.items.reduce((sum, each) => sum + each.count, 0))
}

/** The version deployed before the one that is shown. */
const versionBefore = (versions: Version[], current: string): string | null =>
  versions[versions.findIndex((each) => each.version === current) + 1]?.version ?? null

function Versions({
  namespace,
  name,
  versions,
  current,
  compare,
  onOpen,
  onCompare,
}: {
  namespace: string
  name: string
  versions: Version[]
  current: string
  compare: string | null
  onOpen: (version: string) => void
  onCompare: (version: string) => void
}) {
  return (
    <section className="scroll grow" aria-label="Versions" tabIndex={0}>
      <div className="table versions-table" role="table" aria-label="Versions">
        <div className="tr th" role="row">
          <span role="columnheader">Version</span>
          <span role="columnheader">Deployed</span>
          <span role="columnheader">Digest</span>
          <span role="columnheader" />
        </div>
        {versions.map((each) => (
          <div
            key={each.version}
            className={`tr ${each.version === current ? 'is-on' : ''}`}
            role="row"
          >
            <span role="cell">
              <button type="button" className="link bare" onClick={() => onOpen(each.version)}>
                {each.version}
              </button>
            </span>
            <span role="cell" className="mid">
              <TimeAndAge at={each.created_at} />
            </span>
            <span role="cell">
              <Id id={each.digest} />
            </span>
            <span role="cell" className="right">
              {each.version !== current && each.version !== compare && (
                <Button small icon="compare" onClick={() => onCompare(each.version)}>
                  Compare with {current}
                </Button>
              )}
            </span>
          </div>
        ))}
      </div>
      {compare && (
        <div className="pad">
          <Compared namespace={namespace} name={name} before={compare} after={current} />
        </div>
      )}
    </section>
  )
}

function Compared({
  namespace,
  name,
  before,
  after,
}: {
  namespace: string
  name: string
  before: string
  after: string
}) {
  const [a, b] = [
    useQuery(deployedText(namespace, name, before)),
    useQuery(deployedText(namespace, name, after)),
  ]
  const changes = useQuery(changesOf(namespace, name, before, after)).data
  const lines = useMemo(
    () => (a.data && b.data ? lineDiff(a.data.split('\n'), b.data.split('\n')) : null),
    [a.data, b.data],
  )
  if (a.error) return <Failed error={a.error} />
  return (
    <div className="card compared">
      <header>
        <h2>
          From {before} to {after}
        </h2>
      </header>
      {changes && changes.length > 0 && (
        <ul className="changes">
          {changes.slice(0, 100).map((each) => (
            <li key={each} className="any">
              {cut(each, 300)}
            </li>
          ))}
        </ul>
      )}
      {lines && <DiffView lines={lines} label={`What changed from ${before} to ${after}`} />}
    </div>
  )
}
