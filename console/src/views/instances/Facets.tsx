/** Facets: what there is, counted; a click filters. */

import { useQuery } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { counts, type Filters, facets as facetsQuery } from '../../api/queries'
import type { Facet } from '../../api/types'
import { Icon, type IconName } from '../../ui/icons'
import { count } from '../../words/numbers'
import { ATTENTION, COMPENSATION, STATUS, WAITING_FOR } from '../../words/states'
import { type InstancesSearch, valuesOf, withoutSort, withValue } from './filters'

interface Option {
  value: string
  text: string
  icon?: ReactNode
  count?: number
  exact?: boolean
}

interface FacetsProps {
  search: InstancesSearch
  filters: Filters
  onToggle: (name: string, value: string) => void
}

export function Facets({ search, filters, onToggle }: FacetsProps) {
  const own = withoutSort(filters)
  // Counts of a facet ignore its own filter.
  const byStatus = useQuery(counts(withValue(own, 'status', ''))).data
  const all = useQuery({ ...facetsQuery(own), enabled: __API__.attention }).data?.facets
  const of = (name: string) => all?.[name] ?? []
  const section = (name: string, title: string, options: Option[]) => (
    <FacetList
      key={name}
      title={title}
      options={options}
      chosen={valuesOf(search, name)}
      onToggle={(value) => onToggle(name, value)}
    />
  )
  return (
    <>
      {all?.attention &&
        section('attention', 'Needs a look', stateOptions(ATTENTION, of('attention')))}
      {section('status', 'Status', stateOptions(STATUS, statusCounts(byStatus?.items)))}
      {section('compensation', 'Compensation', stateOptions(COMPENSATION, all?.compensation))}
      {all?.waiting_for && section('waiting_for', 'Waiting for', waitingOptions(of('waiting_for')))}
      {all?.workflow && section('workflow', 'Workflow', plainOptions(of('workflow')))}
      {all?.error && section('error.type', 'Error', plainOptions(of('error')))}
    </>
  )
}

const statusCounts = (
  items?: { status: string; count: number; exact: boolean }[],
): Facet[] | undefined =>
  items?.map((each) => ({ value: each.status, count: each.count, exact: each.exact }))

const iconOf = (icon: IconName, tone: string) => (
  <span className={`st-i s-${tone}`}>
    <Icon name={icon} />
  </span>
)

function stateOptions(
  states: Record<string, { word: string; icon: IconName; tone: string }>,
  found: Facet[] | undefined,
): Option[] {
  return Object.entries(states).map(([value, state]) => {
    const facet = found?.find((each) => each.value === value)
    return {
      value,
      text: state.word,
      icon: iconOf(state.icon, state.tone),
      count: found ? (facet?.count ?? 0) : undefined,
      exact: facet?.exact,
    }
  })
}

function waitingOptions(found: Facet[]): Option[] {
  return Object.entries(WAITING_FOR).map(([value, each]) => ({
    value,
    text: each.word,
    icon: iconOf(each.icon as IconName, value === 'retry' ? 'retry' : 'waiting'),
    count: found.find((facet) => facet.value === value)?.count ?? 0,
  }))
}

const plainOptions = (found: Facet[]): Option[] =>
  found.map((each) => ({
    value: each.value,
    text: each.title ?? each.value,
    count: each.count,
    exact: each.exact,
  }))

const FIRST = 8

function FacetList({
  title,
  options,
  chosen,
  onToggle,
}: {
  title: string
  options: Option[]
  chosen: string[]
  onToggle: (value: string) => void
}) {
  const [open, setOpen] = useState(true)
  const [all, setAll] = useState(false)
  const shown = all ? options : options.slice(0, FIRST)
  return (
    <section className="facet">
      <h3>
        <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
          {title}
          <Icon name={open ? 'down' : 'right'} size="s" />
        </button>
      </h3>
      {open && (
        <ul>
          {shown.map((option) => (
            <li key={option.value}>
              <FacetOption
                option={option}
                on={chosen.includes(option.value)}
                onToggle={() => onToggle(option.value)}
              />
            </li>
          ))}
          {!all && options.length > FIRST && (
            <li>
              <button type="button" className="more" onClick={() => setAll(true)}>
                {options.length - FIRST} more
              </button>
            </li>
          )}
        </ul>
      )}
    </section>
  )
}

function FacetOption({
  option,
  on,
  onToggle,
}: {
  option: Option
  on: boolean
  onToggle: () => void
}) {
  const none = option.count === 0 && !on
  return (
    <button
      type="button"
      role="checkbox"
      aria-checked={on}
      className={`${on ? 'on' : ''} ${none ? 'none' : ''}`}
      onClick={onToggle}
    >
      <span className={`check ${on ? 'on' : ''}`} aria-hidden="true" />
      {option.icon}
      <bdi className="cut" title={option.text}>
        {option.text}
      </bdi>
      {option.count !== undefined && (
        <b>
          {count(option.count)}
          {option.exact === false ? '+' : ''}
        </b>
      )}
    </button>
  )
}
