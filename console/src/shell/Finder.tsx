/** Go to anything: an id, a business id, an attempt's id, a workflow, a page. */

import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useDeferredValue, useState } from 'react'
import { instancesPage, workflows } from '../api/queries'
import type { Summary } from '../api/types'
import { StateText } from '../ui/basics'
import { Icon, type IconName } from '../ui/icons'
import { Dialog } from '../ui/overlays'
import { cut } from '../words/numbers'
import { standing } from '../words/states'

interface Found {
  key: string
  icon: IconName
  text: string
  note: string
  instance?: Summary
  go: () => void
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

export function Finder({ open, onClose }: { open: boolean; onClose: () => void }) {
  return (
    <Dialog open={open} onClose={onClose} title="Find or go to" icon={<Icon name="search" />}>
      <Find onClose={onClose} />
    </Dialog>
  )
}

function Find({ onClose }: { onClose: () => void }) {
  const [text, setText] = useState('')
  const [at, setAt] = useState(0)
  const found = useFound(text.trim(), onClose)
  const chosen = Math.min(at, Math.max(0, found.length - 1))
  return (
    <div className="finder">
      <input
        className="input"
        // biome-ignore lint/a11y/noAutofocus: the dialog was opened to type here
        autoFocus
        role="combobox"
        aria-expanded="true"
        aria-controls="found"
        aria-activedescendant={found[chosen] ? `found-${chosen}` : undefined}
        aria-label="Id, business id, workflow or page"
        placeholder="Id, business id, workflow or page…"
        value={text}
        maxLength={1000}
        onChange={(event) => {
          setText(event.target.value)
          setAt(0)
        }}
        onKeyDown={(event) => {
          if (event.key === 'ArrowDown') setAt(Math.min(chosen + 1, found.length - 1))
          else if (event.key === 'ArrowUp') setAt(Math.max(0, chosen - 1))
          else if (event.key === 'Enter') found[chosen]?.go()
          else return
          event.preventDefault()
        }}
      />
      <ul id="found" role="listbox" aria-label="Found">
        {found.map((each, index) => (
          <li
            key={each.key}
            id={`found-${index}`}
            role="option"
            aria-selected={index === chosen}
            className="pop-item"
            onMouseMove={() => setAt(index)}
            onClick={each.go}
            onKeyDown={() => undefined}
          >
            {each.instance ? (
              <StateText state={standing(each.instance).first}> </StateText>
            ) : (
              <Icon name={each.icon} />
            )}
            <bdi className="cut">{cut(each.text, 80)}</bdi>
            <span className="quiet small cut">{each.note}</span>
          </li>
        ))}
      </ul>
    </div>
  )
}

const PAGES: [string, string, IconName][] = [
  ['/instances', 'Instances', 'instances'],
  ['/workflows', 'Workflows', 'run'],
  ['/events', 'Events', 'events'],
  ['/schedules', 'Schedules', 'schedules'],
  ['/needs', 'Needs a person', 'inbox'],
  ['/health', 'Health', 'health'],
  ['/operations', 'Operations', 'operations'],
  ['/audit', 'Audit', 'audit'],
]

/** Pages and workflows are found as one types, instances a moment later. */
function useFound(text: string, onClose: () => void): Found[] {
  const asked = useDeferredValue(text)
  const navigate = useNavigate()
  const known = useQuery({ ...workflows(), enabled: text !== '', staleTime: 30_000 })
  const matching = useQuery({
    queryKey: ['instances', 'find', asked],
    enabled: asked !== '',
    queryFn: () => find(asked),
    staleTime: 5000,
  })
  const go = (to: string) => {
    onClose()
    void navigate({ to })
  }
  const has = (name: string) => name.toLowerCase().includes(text.toLowerCase())
  const pages = PAGES.filter(([, name]) => has(name)).map(([to, name, icon]) => ({
    key: to,
    icon,
    text: name,
    note: 'page',
    go: () => go(to),
  }))
  const flows = (known.data?.items ?? [])
    .filter((each) => text && has(`${each.namespace}/${each.name}`))
    .slice(0, 6)
    .map((each) => ({
      key: `w ${each.namespace}/${each.name}`,
      icon: 'run' as const,
      text: `${each.namespace}/${each.name}`,
      note: 'workflow',
      go: () =>
        go(`/workflows/${encodeURIComponent(each.namespace)}/${encodeURIComponent(each.name)}`),
    }))
  const instances = (text && asked === text ? (matching.data ?? []) : []).map((each) => ({
    key: each.id,
    icon: 'instances' as const,
    text: each.business_id ?? each.id,
    note: `${each.workflow.namespace}/${each.workflow.name}`,
    instance: each,
    go: () => go(`/instances/${each.id}`),
  }))
  return [...instances, ...flows, ...pages].slice(0, 20)
}

/** Instances by the beginning of an id or business id, or by the id of one of their attempts. */
async function find(text: string): Promise<Summary[]> {
  if (text.length > 255) return []
  const found = (await instancesPage({ q: text }, 8)).items
  if (found.length || !UUID.test(text)) return found
  return (await instancesPage({ attempt: text }, 8)).items
}
