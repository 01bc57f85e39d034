/** All instances: filtered, counted, and acted on together. */

import { useQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { useMemo, useState } from 'react'
import { counts } from '../../api/queries'
import { serverNow } from '../../api/serverClock'
import { useKeys } from '../../shell/keys'
import { Bar, Title } from '../../shell/Shell'
import { Button } from '../../ui/basics'
import { Dialog } from '../../ui/overlays'
import { usePreferences } from '../../ui/preferences'
import { Empty, Failed, Loading } from '../../ui/states'
import { count } from '../../words/numbers'
import { StartDialog } from '../workflows/StartDialog'
import { BulkBar } from './BulkBar'
import { Facets } from './Facets'
import { FilterBar } from './FilterBar'
import { type InstancesSearch, requestOf, toggled, withoutSort } from './filters'
import { InstanceTable, type Selection } from './InstanceTable'
import { useInstanceList } from './useInstanceList'
import { ViewTabs } from './ViewTabs'

const NONE: Selection = { ids: new Set(), last: null }
const MINUTE = 60_000

export function InstancesView() {
  const search = useSearch({ strict: false }) as InstancesSearch
  const navigate = useNavigate()
  const { namespace } = usePreferences()
  const minute = Math.floor(serverNow() / MINUTE)
  const filters = useMemo(
    () => requestOf(search, namespace, minute * MINUTE),
    [search, namespace, minute],
  )
  const list = useInstanceList(filters)
  const [selection, setSelection] = useState<Selection>(NONE)
  const [focused, setFocused] = useState(0)
  const [sheet, setSheet] = useState(false)
  const [starting, setStarting] = useState(false)
  const setSearch = (next: InstancesSearch) => {
    setSelection(NONE)
    setFocused(0)
    void navigate({ to: '/instances', search: next })
  }
  const toggle = (name: string, value: string) => setSearch(toggled(search, name, value))
  useKeys([
    { keys: 'n', does: 'Show the new rows', group: 'List', run: list.showNew },
    { keys: 'Escape', does: 'Choose nothing', group: 'List', run: () => setSelection(NONE) },
  ])
  const facets = <Facets search={search} filters={filters} onToggle={toggle} />
  return (
    <>
      <Title text="Instances" />
      <Bar
        actions={
          <Button icon="play" onClick={() => setStarting(true)}>
            Start…
          </Button>
        }
      >
        <h1>Instances</h1>
        <Total filters={filters} />
      </Bar>
      <ViewTabs search={search} onChange={setSearch} />
      <FilterBar
        search={search}
        onChange={setSearch}
        fresh={list.state.fresh.length}
        onShowNew={list.showNew}
        onFacets={() => setSheet(true)}
      />
      <div className="body over-body">
        <aside className="facets" aria-label="Filters">
          {facets}
        </aside>
        <div className={`grow column ${list.stale ? 'is-stale' : ''}`}>
          {list.error && (
            <div className="pad">
              <Failed error={list.error} retry={list.retry} />
            </div>
          )}
          {list.loading ? (
            !list.error && <Loading rows={12} />
          ) : list.state.order.length === 0 ? (
            <Nothing
              search={search}
              onClear={() => setSearch({})}
              onStart={() => setStarting(true)}
            />
          ) : (
            <InstanceTable
              list={list.state}
              selection={selection}
              onSelect={setSelection}
              onLabel={(name, value) => setSearch({ ...search, [`label.${name}`]: value })}
              onMore={list.more}
              focused={focused}
              onFocus={setFocused}
            />
          )}
        </div>
        {selection.ids.size > 0 && (
          <BulkBar
            ids={[...selection.ids]}
            filters={withoutSort(filters)}
            onClear={() => setSelection(NONE)}
          />
        )}
      </div>
      <Dialog open={sheet} onClose={() => setSheet(false)} title="Filters">
        {facets}
      </Dialog>
      {starting && <StartDialog onClose={() => setStarting(false)} />}
    </>
  )
}

function Total({ filters }: { filters: Record<string, string> }) {
  const { data } = useQuery(counts(withoutSort(filters)))
  if (!data) return null
  const sum = data.items.reduce((total, each) => total + each.count, 0)
  const exact = data.items.every((each) => each.exact)
  return (
    <span className="quiet num">
      {count(sum)}
      {exact ? '' : '+'}
    </span>
  )
}

function Nothing({
  search,
  onClear,
  onStart,
}: {
  search: InstancesSearch
  onClear: () => void
  onStart: () => void
}) {
  const filtered = Object.keys(search).filter((name) => name !== 'sort')
  if (filtered.length) {
    return (
      <Empty
        title="No instance matches"
        action={
          <Button small onClick={onClear}>
            Remove all filters
          </Button>
        }
      >
        {filtered.length === 1 ? 'One filter hides' : `${filtered.length} filters hide`} the others.
      </Empty>
    )
  }
  return (
    <Empty
      title="No instance yet"
      command="orchestrator run shop/order -i '{&quot;id&quot;: &quot;o-1&quot;}'"
      action={
        <Button small icon="play" onClick={onStart}>
          Start one here…
        </Button>
      }
    >
      An instance is one execution of a workflow. Deploy a workflow, then start it.
    </Empty>
  )
}
