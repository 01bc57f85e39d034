import { describe, expect, it } from 'vitest'
import type { Transition } from '../api/types'
import { type History, withNewest } from './newest'

describe('a history that is read from its end', () => {
  const entry = (sequence: number) => ({ sequence }) as Transition
  const page = (from: number, to: number, next: string | null) => ({
    items: Array.from({ length: from - to + 1 }, (_, at) => entry(from - at)),
    next,
  })
  const known: History = {
    pages: [page(20, 11, 'a'), page(10, 1, null)],
    pageParams: [undefined, 'a'],
  }
  const sequences = (history: History) =>
    history.pages.flatMap((each) => each.items.map((item) => item.sequence))

  it('takes up what is new, and keeps its other pages', () => {
    const next = withNewest(known, page(22, 13, 'b'))
    expect(sequences(next)).toEqual(Array.from({ length: 22 }, (_, at) => 22 - at))
    expect(next.pages[0]?.next).toBe('a')
  })

  it('stays the same if nothing is new', () => {
    expect(withNewest(known, page(20, 11, 'a'))).toBe(known)
  })

  it('begins anew where a gap would be left', () => {
    expect(sequences(withNewest(known, page(40, 31, 'c')))).toHaveLength(10)
    expect(sequences(withNewest({ pages: [], pageParams: [] }, page(3, 1, null)))).toEqual([
      3, 2, 1,
    ])
  })
})
