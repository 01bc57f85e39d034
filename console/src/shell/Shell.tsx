/** The frame of every view: navigation at the left, the page beside it. */

import { useQuery } from '@tanstack/react-query'
import { Link, Outlet, useNavigate, useRouterState } from '@tanstack/react-router'
import { type ReactNode, useEffect, useState } from 'react'
import { doctor, me, namespaces, needed } from '../api/queries'
import { CONSOLE } from '../base'
import { useFeedMode } from '../live/feed'
import { Icon, type IconName, Mark } from '../ui/icons'
import { Toasts } from '../ui/overlays'
import { setPreference, usePreferences } from '../ui/preferences'
import type { TimeStyle } from '../words/time'
import { Finder } from './Finder'
import { KeyList } from './KeyList'
import { useKeys } from './keys'

interface Place {
  to: string
  text: string
  icon: IconName
  key: string
}

const PLACES: Place[] = [
  { to: '/instances', text: 'Instances', icon: 'instances', key: 'i' },
  { to: '/workflows', text: 'Workflows', icon: 'run', key: 'w' },
  { to: '/events', text: 'Events', icon: 'events', key: 'e' },
  { to: '/schedules', text: 'Schedules', icon: 'schedules', key: 's' },
  { to: '/needs', text: 'Needs a person', icon: 'inbox', key: 'p' },
]
const SYSTEM: Place[] = [
  { to: '/health', text: 'Health', icon: 'health', key: 'h' },
  { to: '/operations', text: 'Operations', icon: 'operations', key: 'o' },
  { to: '/audit', text: 'Audit', icon: 'audit', key: 'a' },
]

export type Opened = 'finder' | 'keys' | null

export function Shell() {
  const [opened, setOpened] = useState<Opened>(null)
  const navigate = useNavigate()
  useKeys([
    ...[...PLACES, ...SYSTEM].map((place) => ({
      keys: `g ${place.key}`,
      does: `Go to ${place.text.toLowerCase()}`,
      group: 'Go',
      run: () => void navigate({ to: place.to }),
    })),
    {
      keys: 'Ctrl+k',
      does: 'Go to anything',
      group: 'Go',
      run: () => setOpened('finder'),
      always: true,
    },
    { keys: '?', does: 'This list', group: 'General', run: () => setOpened('keys') },
    { keys: '/', does: 'Find or filter', group: 'General', run: () => focusFilter(setOpened) },
  ])
  return (
    <Toasts>
      <div className="app">
        <Navigation onFind={() => setOpened('finder')} />
        <main className="main" id="main">
          <Outlet />
        </main>
      </div>
      <Finder open={opened === 'finder'} onClose={() => setOpened(null)} />
      <KeyList open={opened === 'keys'} onClose={() => setOpened(null)} />
    </Toasts>
  )
}

/** `/` goes to the filter of the view, or to the finder where a view has none. */
function focusFilter(open: (what: Opened) => void): void {
  const filter = document.querySelector<HTMLInputElement>('[data-filter]')
  if (filter) filter.focus()
  else open('finder')
}

function Navigation({ onFind }: { onFind: () => void }) {
  const { theme, times } = usePreferences()
  const person = useQuery(me).data
  return (
    <nav className="nav" aria-label="Main">
      <Link className="brand" to="/instances" aria-label="orchestrator">
        <Mark />
        <span>orchestrator</span>
      </Link>
      <NamespacePicker />
      <button type="button" className="pick" title="Find or go to" onClick={onFind}>
        <Icon name="search" />
        <span>Find or go to</span>
        <kbd>Ctrl K</kbd>
      </button>
      <div className="group">
        {PLACES.map((place) => (
          <PlaceLink key={place.to} place={place} />
        ))}
      </div>
      <div className="group">
        {SYSTEM.map((place) => (
          <PlaceLink key={place.to} place={place} />
        ))}
      </div>
      <div className="foot">
        <FeedState />
        {person && person.authentication !== 'off' && (
          <FootButton
            icon="person"
            title={`${person.name}, ${person.role}: sign out`}
            onClick={signOut}
          >
            <bdi>{person.name}</bdi> <span className="quiet">{person.role}</span>
          </FootButton>
        )}
        <FootButton
          icon="waiting"
          title="How times are shown"
          onClick={() => setPreference('times', nextTimes(times))}
        >
          {TIMES[times]}
        </FootButton>
        <FootButton
          icon="theme"
          title={`Theme: ${theme}`}
          onClick={() =>
            setPreference('theme', THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? 'system')
          }
        >
          {theme === 'system' ? 'Theme' : theme === 'dark' ? 'Dark theme' : 'Light theme'}
        </FootButton>
      </div>
    </nav>
  )
}

const THEMES = ['system', 'light', 'dark'] as const
const TIMES: Record<TimeStyle, string> = {
  relative: 'Relative times',
  utc: 'Times in UTC',
  local: 'Local times',
}
const nextTimes = (style: TimeStyle): TimeStyle =>
  style === 'relative' ? 'utc' : style === 'utc' ? 'local' : 'relative'

async function signOut(): Promise<void> {
  await fetch(`${CONSOLE}/logout`, { method: 'POST', headers: { 'X-Orchestrator-Console': '1' } })
  location.assign(`${CONSOLE}/login`)
}

function FootButton({
  icon,
  title,
  onClick,
  children,
}: {
  icon: IconName
  title: string
  onClick: () => void
  children: ReactNode
}) {
  return (
    <button type="button" className="foot-button" title={title} onClick={onClick}>
      <Icon name={icon} />
      <span>{children}</span>
    </button>
  )
}

function PlaceLink({ place }: { place: Place }) {
  const path = useRouterState({ select: (state) => state.location.pathname })
  const here = path === place.to || path.startsWith(`${place.to}/`)
  return (
    <Link
      to={place.to}
      aria-current={here ? 'page' : undefined}
      title={place.text}
      activeProps={{}}
    >
      <Icon name={place.icon} />
      <span>{place.text}</span>
      <Alarm place={place.to} />
    </Link>
  )
}

function Alarm({ place }: { place: string }) {
  const { namespace } = usePreferences()
  const needs = useQuery({ ...needed(namespace), enabled: place === '/needs' })
  const findings = useQuery({ ...doctor, enabled: place === '/health', refetchInterval: 30_000 })
  const n =
    place === '/needs'
      ? needs.data?.items.reduce((sum, each) => sum + each.count, 0)
      : findings.data?.findings.length
  if (!n || (place !== '/needs' && place !== '/health')) return null
  return (
    <b className="count alarm">
      {n}
      <span className="sr"> to look at</span>
    </b>
  )
}

function NamespacePicker() {
  const { namespace } = usePreferences()
  const names = useQuery(namespaces).data ?? []
  return (
    <label className="pick" title="Namespace">
      <Icon name="namespace" />
      <span className="sr">Namespace</span>
      <select
        value={namespace}
        onChange={(event) => setPreference('namespace', event.target.value)}
      >
        <option value="">All namespaces</option>
        {names.map((each) => (
          <option key={each.name} value={each.name}>
            {each.name}
          </option>
        ))}
      </select>
      <Icon name="choose" className="chev" />
    </label>
  )
}

function FeedState() {
  const mode = useFeedMode()
  const words = { connecting: 'Connecting', live: 'Live', polling: 'Asks every 5 s' }[mode]
  return (
    <p className="live" title={mode === 'polling' ? 'The live feed is not available' : words}>
      <i className={`dot ${mode === 'live' ? '' : 'off'}`} />
      <span>{words}</span>
    </p>
  )
}

/** The bar at the top of a page: its name, what belongs to it, and what can be done. */
export function Bar({ children, actions }: { children: ReactNode; actions?: ReactNode }) {
  return (
    <header className="bar">
      {children}
      <span className="grow" />
      {actions && <div className="btns">{actions}</div>}
    </header>
  )
}

export function Crumb({ children }: { children: ReactNode[] }) {
  return (
    <nav className="crumb" aria-label="Where this is">
      {children.map((child, at) => (
        <span className="crumb-part" key={at}>
          {child}
          <Icon name="right" size="s" />
        </span>
      ))}
    </nav>
  )
}

/** Set the title of the tab. */
export function Title({ text }: { text: string }) {
  useEffect(() => {
    document.title = `${text} · orchestrator`
  }, [text])
  return null
}
