/** The history, the newest first, read by page as it is scrolled. */

import { useInfiniteQuery } from '@tanstack/react-query'
import { useVirtualizer } from '@tanstack/react-virtual'
import { type RefObject, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react'
import { historyKey, historyPage } from '../../api/queries'
import type { Step, Transition } from '../../api/types'
import { Time } from '../../ui/clock'
import { Code } from '../../ui/code'
import { Failed, Loading } from '../../ui/states'
import { cause, deeds, type Fact } from '../../words/history'

const ROW = 36

export function HistoryTab({
  instance,
  steps,
  selected,
  onSelect,
  scroller,
}: {
  instance: string
  steps: Step[]
  selected: number | null
  onSelect: (step: number | undefined) => void
  scroller: RefObject<HTMLElement | null>
}) {
  const query = useInfiniteQuery({
    queryKey: historyKey(instance),
    queryFn: ({ pageParam }) => historyPage(instance, pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
  })
  const [open, setOpen] = useState<number | null>(null)
  const entries = useMemo(() => query.data?.pages.flatMap((page) => page.items) ?? [], [query.data])
  const names = useMemo(() => new Map(steps.map((step) => [step.id, nameOf(step)])), [steps])
  const name = (step: number | null | undefined) =>
    step === null || step === undefined ? 'the instance' : (names.get(step) ?? `step ${step}`)
  const top = useRef<HTMLDivElement>(null)
  const [margin, setMargin] = useState(0)
  useLayoutEffect(() => {
    const [a, b] = [top.current, scroller.current]
    if (!a || !b) return
    const next = a.getBoundingClientRect().top - b.getBoundingClientRect().top + b.scrollTop
    if (Math.abs(next - margin) > 1) setMargin(next)
  })
  const rows = useVirtualizer({
    count: entries.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 12,
    scrollMargin: margin,
  })
  const items = rows.getVirtualItems()
  const last = items.at(-1)?.index ?? 0
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = query
  useEffect(() => {
    if (hasNextPage && !isFetchingNextPage && last >= entries.length - 30) void fetchNextPage()
  }, [hasNextPage, isFetchingNextPage, fetchNextPage, last, entries.length])
  if (query.isPending) return <Loading rows={6} />
  if (query.error) {
    return (
      <div className="pad">
        <Failed error={query.error} retry={() => void query.refetch()} />
      </div>
    )
  }
  const shown = entries.find((entry) => entry.sequence === open)
  return (
    <div className="table" role="table" aria-label="History, the newest first">
      {shown && (
        <div className="pad">
          <Code
            text={JSON.stringify(shown, null, 2)}
            name={`${instance}-${shown.sequence}.json`}
            label={`Transition ${shown.sequence}`}
            json
          />
        </div>
      )}
      <div className="virtual" ref={top} style={{ height: rows.getTotalSize() }}>
        {items.map((item) => {
          const entry = entries[item.index]
          return (
            entry && (
              <div
                key={entry.sequence}
                className="virtual-row"
                style={{ transform: `translateY(${item.start - margin}px)` }}
              >
                <HistoryRow
                  entry={entry}
                  name={name}
                  on={touches(entry, selected)}
                  onOpen={() => setOpen(open === entry.sequence ? null : entry.sequence)}
                  onSelect={() => onSelect(stepOf(entry))}
                />
              </div>
            )
          )
        })}
      </div>
    </div>
  )
}

const nameOf = (step: Step): string =>
  `${step.compensates === null ? '' : 'undo of '}${step.name}${step.index === null ? '' : ` [${step.index}]`}`

function stepOf(entry: Transition): number | undefined {
  const stimulus = entry.stimulus as { step?: number | null } | null
  return stimulus?.step ?? entry.facts.find((fact) => fact.step !== null)?.step ?? undefined
}

const touches = (entry: Transition, step: number | null): boolean =>
  step !== null && (stepOf(entry) === step || entry.facts.some((fact) => fact.step === step))

function HistoryRow({
  entry,
  name,
  on,
  onOpen,
  onSelect,
}: {
  entry: Transition
  name: (step: number | null | undefined) => string
  on: boolean
  onOpen: () => void
  onSelect: () => void
}) {
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the buttons inside are for the keyboard
    <div
      className={`tr history-row link-row ${on ? 'is-on' : ''}`}
      role="row"
      tabIndex={-1}
      onClick={onSelect}
    >
      <span className="quiet num" role="cell">
        {entry.sequence}
      </span>
      <span className="num mid" role="cell">
        <Time at={entry.at} fraction />
      </span>
      <span className="cut" role="cell">
        <button type="button" className="bare cut" onClick={onSelect}>
          <bdi>{cause(entry.stimulus, name)}</bdi>
        </button>
      </span>
      <span className="cut mid" role="cell">
        <bdi>{deeds(entry.facts as Fact[], name)}</bdi>
      </span>
      <span role="cell" className="right">
        <button
          type="button"
          className="btn s quiet"
          onClick={(event) => {
            event.stopPropagation()
            onOpen()
          }}
        >
          JSON
        </button>
      </span>
    </div>
  )
}
