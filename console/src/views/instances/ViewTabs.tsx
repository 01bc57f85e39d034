/** The views as tabs with their counts, and what saves or removes one. */

import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { counts } from '../../api/queries'
import { serverNow } from '../../api/serverClock'
import { Button, Tabs } from '../../ui/basics'
import { Dialog, Field, say } from '../../ui/overlays'
import { usePreferences } from '../../ui/preferences'
import { count, cut } from '../../words/numbers'
import { type InstancesSearch, requestOf, withoutSort } from './filters'
import { BUILT_IN, storeViews, useViews, type View, viewOf, withView } from './savedViews'

export function ViewTabs({
  search,
  onChange,
}: {
  search: InstancesSearch
  onChange: (search: InstancesSearch) => void
}) {
  const [saving, setSaving] = useState(false)
  const saved = useViews()
  const all = [...BUILT_IN, ...saved]
  const current = viewOf(all, search)
  const totals = useTotals(all)
  const isOwn = current !== undefined && saved.includes(current)
  return (
    <>
      <Tabs
        label="Views"
        value={current?.name ?? ''}
        onChange={(name) => onChange(all.find((each) => each.name === name)?.search ?? {})}
        options={all.map((each, at) => ({
          value: each.name,
          text: cut(each.name, 40),
          count: totals[at],
        }))}
        side={
          isOwn ? (
            <Button
              small
              kind="quiet"
              icon="close"
              onClick={() => storeViews(saved.filter((each) => each !== current))}
            >
              Remove view
            </Button>
          ) : (
            !current && (
              <Button small kind="quiet" icon="star" onClick={() => setSaving(true)}>
                Save view…
              </Button>
            )
          )
        }
      />
      {saving && (
        <SaveDialog
          taken={BUILT_IN.map((each) => each.name)}
          onClose={() => setSaving(false)}
          onSave={(name) => {
            storeViews(withView(saved, { name, search }))
            say('View saved', 'In this browser; the address shares it')
            setSaving(false)
          }}
        />
      )}
    </>
  )
}

const MINUTE = 60_000

/** How many instances each view has. They are counted seldom: the open view counts for itself. */
function useTotals(views: View[]): (string | undefined)[] {
  const { namespace } = usePreferences()
  const now = Math.floor(serverNow() / MINUTE) * MINUTE
  const filters = views.map((view) => withoutSort(requestOf(view.search, namespace, now)))
  const found = useQuery({
    queryKey: ['views', filters],
    queryFn: ({ client }) =>
      Promise.all(filters.map((each) => client.fetchQuery({ ...counts(each), staleTime: 5000 }))),
    refetchInterval: 15_000,
    staleTime: 10_000,
    placeholderData: (old) => (old?.length === filters.length ? old : undefined),
  }).data
  return views.map((_, at) => {
    const items = found?.[at]?.items
    if (!items) return undefined
    const sum = items.reduce((total, each) => total + each.count, 0)
    return count(sum) + (items.every((each) => each.exact) ? '' : '+')
  })
}

function SaveDialog({
  taken,
  onSave,
  onClose,
}: {
  taken: string[]
  onSave: (name: string) => void
  onClose: () => void
}) {
  const [name, setName] = useState('')
  const trimmed = name.trim()
  const ready = trimmed !== '' && !taken.includes(trimmed)
  const save = () => ready && onSave(trimmed)
  return (
    <Dialog
      open
      onClose={onClose}
      onConfirm={save}
      title="Save these filters as a view"
      footer={
        <>
          <span className="note">Kept in this browser.</span>
          <Button onClick={onClose}>Close</Button>
          <Button kind="primary" icon="star" disabled={!ready} onClick={save}>
            Save
          </Button>
        </>
      }
    >
      <Field
        label="Name"
        bad={taken.includes(trimmed)}
        help={taken.includes(trimmed) ? 'The console has a view of this name' : undefined}
      >
        {(id) => (
          <input
            id={id}
            className="input tall"
            maxLength={60}
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
        )}
      </Field>
    </Dialog>
  )
}
