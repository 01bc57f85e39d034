/** The list's rows: read by page, refreshed in place. */

import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { useCallback, useEffect, useRef, useState } from 'react'
import { type Filters, instancesPage } from '../../api/queries'
import type { Summary } from '../../api/types'
import { extended, type ListState, refreshed, shownAll, started } from './listState'

const PAGE = 50
/** The most rows that a refresh reads; rows below are refreshed when they are read again. */
const MOST_REFRESHED = 200

const EMPTY: ListState<Summary> = {
  order: [],
  rows: new Map(),
  fresh: [],
  gone: new Set(),
  next: null,
}

export function useInstanceList(filters: Filters) {
  const key = JSON.stringify(filters)
  const [list, setList] = useState<{ key: string; state: ListState<Summary> } | null>(null)
  const state = list?.key === key ? list.state : null
  const shown = useRef(0)
  shown.current = state?.order.length ?? 0
  const query = useQuery({
    queryKey: ['instances', 'list', filters],
    queryFn: () => {
      const rows = Math.ceil((shown.current + 1) / PAGE) * PAGE
      return instancesPage(filters, Math.min(MOST_REFRESHED, Math.max(PAGE, rows)))
    },
    placeholderData: keepPreviousData,
  })
  const { data, isPlaceholderData } = query
  useEffect(() => {
    if (!data || isPlaceholderData) return
    setList((old) =>
      old?.key === key ? { key, state: refreshed(old.state, data) } : { key, state: started(data) },
    )
  }, [data, isPlaceholderData, key])

  const reading = useRef(false)
  const more = useCallback(async () => {
    if (reading.current || !state?.next) return
    reading.current = true
    try {
      const page = await instancesPage(filters, PAGE * 2, state.next)
      setList((old) => (old?.key === key ? { key, state: extended(old.state, page) } : old))
    } finally {
      reading.current = false
    }
  }, [filters, key, state?.next])

  const showNew = useCallback(
    () => setList((old) => old && { ...old, state: shownAll(old.state) }),
    [],
  )
  return {
    state: state ?? list?.state ?? EMPTY,
    loading: list === null,
    stale: list !== null && list.key !== key,
    error: query.error,
    updatedAt: query.dataUpdatedAt,
    retry: () => void query.refetch(),
    more,
    showNew,
  }
}
