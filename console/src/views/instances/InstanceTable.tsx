/** The table of instances: windowed, so that a long list costs no more than a short one. */

import { useNavigate } from '@tanstack/react-router'
import { useVirtualizer } from '@tanstack/react-virtual'
import { useEffect, useRef } from 'react'
import type { Summary } from '../../api/types'
import { CONSOLE } from '../../base'
import { useKeys } from '../../shell/keys'
import { Check, MiddleCut, Tag } from '../../ui/basics'
import { Age, Time, Told, Until } from '../../ui/clock'
import { Icon } from '../../ui/icons'
import { cut } from '../../words/numbers'
import { standing } from '../../words/states'
import { micros, span } from '../../words/time'
import { asError, errorLine, sentence } from '../../words/why'
import { between, type ListState } from './listState'

export interface Selection {
  ids: ReadonlySet<string>
  last: string | null
}

interface TableProps {
  list: ListState<Summary>
  selection: Selection
  onSelect: (selection: Selection) => void
  onLabel: (name: string, value: string) => void
  onMore: () => void
  focused: number
  onFocus: (row: number) => void
}

const ROW = 48

export function InstanceTable(props: TableProps) {
  const { list, selection, onSelect, onMore, focused, onFocus } = props
  const scroller = useRef<HTMLDivElement>(null)
  const navigate = useNavigate()
  const rows = useVirtualizer({
    count: list.order.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 8,
    scrollPaddingStart: 32,
  })
  const items = rows.getVirtualItems()
  const lastShown = items.at(-1)?.index ?? 0
  useEffect(() => {
    if (list.next && lastShown >= list.order.length - 20) onMore()
  }, [lastShown, list.order.length, list.next, onMore])
  const move = (step: number) => {
    const next = Math.max(0, Math.min(list.order.length - 1, focused + step))
    onFocus(next)
    rows.scrollToIndex(next)
  }
  const toggle = (id: string, range: boolean) => {
    const ids = new Set(selection.ids)
    if (range && selection.last) {
      for (const each of between(list.order, selection.last, id)) ids.add(each)
    } else if (!ids.delete(id)) ids.add(id)
    onSelect({ ids, last: id })
  }
  const current = list.order[focused]
  useKeys([
    { keys: 'j', does: 'Next row', group: 'List', run: () => move(1) },
    { keys: 'k', does: 'Row before', group: 'List', run: () => move(-1) },
    {
      keys: 'Enter',
      does: 'Open the row',
      group: 'List',
      run: () => current && void navigate({ to: '/instances/$id', params: { id: current } }),
    },
    {
      keys: 'x',
      does: 'Choose the row',
      group: 'List',
      run: () => current && toggle(current, false),
    },
    {
      keys: 'Shift+x',
      does: 'Choose up to the row',
      group: 'List',
      run: () => current && toggle(current, true),
    },
  ])
  const all = list.order.length > 0 && list.order.every((id) => selection.ids.has(id))
  return (
    <div className="grow scroll list" ref={scroller} tabIndex={-1}>
      <div
        className="table instances-table"
        role="table"
        aria-label="Instances"
        aria-rowcount={list.order.length + 1}
      >
        <div className="tr th" role="row">
          <span role="columnheader">
            <Check
              checked={all}
              mixed={!all && selection.ids.size > 0}
              label="Choose all shown"
              onChange={(on) => onSelect({ ids: new Set(on ? list.order : []), last: null })}
            />
          </span>
          <span role="columnheader">Status</span>
          <span role="columnheader">Instance</span>
          <span role="columnheader">Step, and why it stands there</span>
          <span role="columnheader" className="hide-s">
            Labels
          </span>
          <span role="columnheader" className="right">
            Age
          </span>
        </div>
        <div role="rowgroup" className="virtual" style={{ height: rows.getTotalSize() }}>
          {items.map((item) => {
            const id = list.order[item.index] ?? ''
            const row = list.rows.get(id)
            return (
              row && (
                <InstanceRow
                  key={id}
                  row={row}
                  top={item.start}
                  index={item.index}
                  selected={selection.ids.has(id)}
                  focused={item.index === focused}
                  gone={list.gone.has(id)}
                  onToggle={(range) => toggle(id, range)}
                  onLabel={props.onLabel}
                />
              )
            )
          })}
        </div>
      </div>
    </div>
  )
}

function InstanceRow({
  row,
  top,
  index,
  selected,
  focused,
  gone,
  onToggle,
  onLabel,
}: {
  row: Summary
  top: number
  index: number
  selected: boolean
  focused: boolean
  gone: boolean
  onToggle: (range: boolean) => void
  onLabel: (name: string, value: string) => void
}) {
  const navigate = useNavigate()
  const { first, second } = standing(row)
  const name = row.business_id ?? row.id
  const { namespace, name: workflow, version } = row.workflow
  const open = (event: React.MouseEvent) => {
    // A click with a modifier opens a tab, as it does on the link; text can be selected.
    if (event.defaultPrevented || (event.target as Element).closest('a, button, input')) return
    if (String(getSelection() ?? '')) return
    if (event.ctrlKey || event.metaKey) window.open(`${CONSOLE}/instances/${row.id}`)
    else void navigate({ to: '/instances/$id', params: { id: row.id } })
  }
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the link inside and the list's keys open it
    <div
      role="row"
      tabIndex={-1}
      aria-rowindex={index + 2}
      className={`tr two link-row ${selected ? 'is-on' : ''} ${focused ? 'is-focused' : ''} ${gone ? 'is-gone' : ''}`}
      style={{ transform: `translateY(${top}px)` }}
      onClick={open}
    >
      <span role="cell">
        <Check
          checked={selected}
          label={`Choose ${cut(name, 60)}`}
          onChange={(_, shift) => onToggle(shift)}
        />
      </span>
      <span role="cell" className={`two-line ${second ? '' : 'one'}`}>
        <span className={`st s-${first.tone}`}>
          <Icon name={first.icon} />
          {first.word}
        </span>
        {second && (
          <small
            className={`under ${second.tone === 'undo' || second.tone === 'faulted' ? `tone s-${second.tone}` : 'quiet'}`}
          >
            {second.word.toLowerCase()}
          </small>
        )}
      </span>
      <span role="cell" className="two-line">
        <a
          className="t cut"
          href={`${CONSOLE}/instances/${row.id}`}
          title={name.slice(0, 1000)}
          onClick={(event) => {
            if (event.ctrlKey || event.metaKey || event.shiftKey) return
            event.preventDefault()
            void navigate({ to: '/instances/$id', params: { id: row.id } })
          }}
        >
          <MiddleCut text={name} />
        </a>
        <small className="cut">
          <bdi>
            {namespace}/{cut(workflow, 80)} {version}
          </bdi>
        </small>
      </span>
      <span role="cell" className="two-line">
        <WhyCell row={row} gone={gone} />
      </span>
      <span role="cell" className="labels hide-s">
        {Object.entries(row.labels)
          .slice(0, 3)
          .map(([label, value]) => (
            <Tag key={label} name={label} value={value} onClick={() => onLabel(label, value)} />
          ))}
      </span>
      <span role="cell" className="right quiet">
        <Age since={row.started_at ?? row.created_at} />
      </span>
    </div>
  )
}

/** The current step above, and below it in words why it stands there. */
function WhyCell({ row, gone }: { row: Summary; gone: boolean }) {
  const step = row.steps?.[0]
  const more = (row.steps?.length ?? 0) - 1
  return (
    <>
      <span className="cut">
        {step ? (
          <>
            <bdi>{cut(step.name, 80)}</bdi>
            {step.attempt && step.attempt > 1 ? (
              <span className="quiet num">
                , attempt {step.attempt}
                {step.max ? ` of ${step.max}` : ''}
              </span>
            ) : null}
            {more > 0 && <span className="quiet"> +{more}</span>}
          </>
        ) : (
          <EndOf row={row} />
        )}
      </span>
      <small className={`cut ${isStuck(row) ? 'tone s-retry' : 'why-line'}`}>
        {gone ? 'No longer matches the filter' : <WhyLine row={row} />}
      </small>
    </>
  )
}

/** Of what has ended: the step that failed, else how long it took. */
function EndOf({ row }: { row: Summary }) {
  const failed = row.status === 'faulted' && row.error?.instance?.split('/').at(-1)
  if (failed) return <bdi>{cut(failed, 80)}</bdi>
  if (!row.ended_at || !row.started_at) return null
  return <span className="quiet">took {span(micros(row.ended_at) - micros(row.started_at))}</span>
}

function WhyLine({ row }: { row: Summary }) {
  if (row.ended_at && !row.error && row.why?.kind === 'ended') {
    return (
      <span className="quiet">
        ended <Time at={row.ended_at} />
      </span>
    )
  }
  return (
    <>
      <Told text={whyText(row)} />
      {row.why?.until && (
        <>
          {', '}
          <Until at={row.why.until} />
        </>
      )}
    </>
  )
}

/** What has ended says so by its state; the colour is for what stands and should not. */
const isStuck = (row: Summary): boolean => row.why?.tone === 'alarm' && !row.ended_at

function whyText(row: Summary): string {
  if (row.why) {
    const more = row.why.more ? `, +${row.why.more}` : ''
    // The message of a dead letter begins with a name, which keeps its letters.
    const { kind, message } = row.why
    return (kind === 'dead-letter' ? message : sentence(message)) + more
  }
  const error = asError(row.error)
  return error ? errorLine(error) : ''
}
