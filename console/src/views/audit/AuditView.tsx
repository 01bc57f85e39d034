/** Who did what. */

import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { useState } from 'react'
import { audit } from '../../api/queries'
import type { AuditEntry } from '../../api/types'
import { Bar, Title } from '../../shell/Shell'
import { IconButton } from '../../ui/basics'
import { Time } from '../../ui/clock'
import { Json } from '../../ui/code'
import { Icon } from '../../ui/icons'
import { Empty, Failed, Loading } from '../../ui/states'
import { cut } from '../../words/numbers'
import { SidePanel } from '../instance/SidePanel'

interface AuditSearch {
  action?: string
  target?: string
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export function AuditView() {
  const search = useSearch({ strict: false }) as AuditSearch
  const navigate = useNavigate()
  const [open, setOpen] = useState<number | null>(null)
  const filters = Object.fromEntries(
    Object.entries(search).filter((each): each is [string, string] => Boolean(each[1])),
  )
  const query = useQuery({ ...audit(filters), refetchInterval: 10_000 })
  const all = query.data?.items ?? []
  const chosen = all.find((each) => each.id === open)
  const set = (change: AuditSearch) =>
    void navigate({ to: '/audit', search: { ...search, ...change }, replace: true })
  return (
    <>
      <Title text="Audit" />
      <Bar>
        <h1>Audit</h1>
      </Bar>
      <div className="filters">
        <label className="search">
          <Icon name="search" />
          <span className="filter-input">
            <input
              data-filter
              aria-label="Action"
              placeholder="Action, such as instance.retry…"
              value={search.action ?? ''}
              maxLength={100}
              onChange={(event) => set({ action: event.target.value || undefined })}
            />
          </span>
          <span className="filter-input">
            <input
              aria-label="Target"
              placeholder="Target: an id…"
              value={search.target ?? ''}
              maxLength={600}
              onChange={(event) => set({ target: event.target.value || undefined })}
            />
          </span>
        </label>
      </div>
      <div className="body">
        <section className="scroll grow" aria-label="Audit" tabIndex={0}>
          {query.error && (
            <div className="pad">
              <Failed error={query.error} retry={() => void query.refetch()} />
            </div>
          )}
          {query.isPending && !query.error && <Loading />}
          {query.data && all.length === 0 && (
            <Empty
              title={Object.keys(filters).length ? 'No entry matches' : 'Nothing was done yet'}
            />
          )}
          {all.length > 0 && (
            <div className="table audit-table" role="table" aria-label="Audit">
              <div className="tr th" role="row">
                {['When', 'Who', 'Did', 'To', 'Reason'].map((word) => (
                  <span key={word} role="columnheader">
                    {word}
                  </span>
                ))}
              </div>
              {all.map((each) => (
                <EntryRow
                  key={each.id}
                  entry={each}
                  on={each.id === open}
                  onOpen={() => setOpen(each.id)}
                />
              ))}
            </div>
          )}
        </section>
        {chosen && (
          <SidePanel label="Entry">
            <header>
              <div className="grow">
                <h2>{chosen.action}</h2>
                <p className="quiet small any">
                  <bdi>{chosen.actor}</bdi>
                  {chosen.address && ` from ${chosen.address}`}
                </p>
              </div>
              <IconButton
                icon="close"
                label="Close"
                small
                kind="quiet"
                onClick={() => setOpen(null)}
              />
            </header>
            <section className="inside scroll grow" tabIndex={0} aria-label="Entry">
              <Json value={chosen} name={`audit-${chosen.id}`} label="Entry" />
            </section>
          </SidePanel>
        )}
      </div>
    </>
  )
}

function EntryRow({ entry, on, onOpen }: { entry: AuditEntry; on: boolean; onOpen: () => void }) {
  const target = entry.target ?? ''
  const isInstance = UUID.test(target) && entry.action.startsWith('instance.')
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the button inside is for the keyboard
    <div className={`tr link-row ${on ? 'is-on' : ''}`} role="row" tabIndex={-1} onClick={onOpen}>
      <span role="cell" className="mid">
        <Time at={entry.at} />
      </span>
      <span role="cell" className="cut">
        <bdi>{cut(entry.actor, 60)}</bdi>
      </span>
      <span role="cell" className="cut">
        <button type="button" className="bare cut" onClick={onOpen}>
          {entry.action}
        </button>
      </span>
      <span role="cell" className="cut mono">
        {isInstance ? (
          <Link className="link" to="/instances/$id" params={{ id: target }}>
            {cut(target, 40)}
          </Link>
        ) : (
          <bdi>{cut(target, 60)}</bdi>
        )}
      </span>
      <span role="cell" className="mid cut">
        <bdi>{cut(entry.reason ?? '', 200)}</bdi>
      </span>
    </div>
  )
}
