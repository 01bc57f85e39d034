import { describe, expect, it } from 'vitest'
import { requestOf, toggled, tokens, typed, validSearch } from './filters'
import { between, extended, refreshed, shownAll, started } from './listState'
import { BUILT_IN, readViews, viewOf, withView } from './savedViews'

const page = (ids: string[], next: string | null = null, mark = 0) => ({
  items: ids.map((id) => ({ id, mark })),
  next,
})

describe('a list that does not jump', () => {
  it('changes rows where they stand', () => {
    const state = refreshed(started(page(['c', 'b', 'a'])), page(['c', 'b', 'a'], null, 7))
    expect(state.order).toEqual(['c', 'b', 'a'])
    expect(state.rows.get('b')).toEqual({ id: 'b', mark: 7 })
  })

  it('counts new rows and shows them when asked', () => {
    const state = refreshed(started(page(['b', 'a'])), page(['d', 'c', 'b', 'a']))
    expect(state.order).toEqual(['b', 'a'])
    expect(state.fresh).toEqual(['d', 'c'])
    expect(shownAll(state)).toMatchObject({ order: ['d', 'c', 'b', 'a'], fresh: [] })
  })

  it('counts no row as new that only a longer page brought', () => {
    const state = refreshed(started(page(['c', 'b'], 'x')), page(['c', 'b', 'a'], 'y'))
    expect(state.fresh).toEqual([])
  })

  it('shows the first rows of an empty list at once', () => {
    expect(refreshed(started(page([])), page(['a'])).order).toEqual(['a'])
  })

  it('marks rows that no longer match, and lets them go when asked', () => {
    const state = refreshed(started(page(['c', 'b', 'a'])), page(['c', 'a']))
    expect([...state.gone]).toEqual(['b'])
    expect(state.order).toEqual(['c', 'b', 'a'])
    expect(shownAll(state).order).toEqual(['c', 'a'])
  })

  it('misses no row that lies beyond what was read', () => {
    const long = extended(started(page(['c', 'b'], 'x')), page(['a']))
    expect([...refreshed(long, page(['c', 'b'], 'x')).gone]).toEqual([])
  })

  it('adds a page once, also if it was read twice', () => {
    const once = extended(started(page(['c'], 'x')), page(['b', 'a']))
    expect(extended(once, page(['b', 'a'])).order).toEqual(['c', 'b', 'a'])
  })

  it('chooses a range in both directions', () => {
    expect(between(['a', 'b', 'c', 'd'], 'c', 'a')).toEqual(['a', 'b', 'c'])
    expect(between(['a', 'b'], 'gone', 'b')).toEqual(['b'])
  })
})

describe('filters', () => {
  it('keep what the API takes', () => {
    expect(
      validSearch({ status: 'faulted', 'label.team': 'a', 'input.x.y': '3', evil: '1', q: 3 }),
    ).toEqual({ status: 'faulted', 'label.team': 'a', 'input.x.y': '3' })
  })

  it('take several values of a state, one of a workflow', () => {
    const two = toggled(toggled({}, 'status', 'faulted'), 'status', 'running')
    expect(two).toEqual({ status: 'faulted,running' })
    expect(toggled(two, 'status', 'faulted')).toEqual({ status: 'running' })
    expect(toggled({ workflow: 'a/b' }, 'workflow', 'a/c')).toEqual({ workflow: 'a/c' })
    expect(toggled({ workflow: 'a/b' }, 'workflow', 'a/b')).toEqual({})
  })

  it('become parameters of a request', () => {
    expect(requestOf({ started: '1h', status: 'faulted' }, 'shop', 7_230_000)).toEqual({
      status: 'faulted',
      namespace: 'shop',
      started_after: '1970-01-01T01:00:00.000Z',
    })
  })

  it('are read from what was typed', () => {
    expect(typed('status=faulted')).toEqual({ name: 'status', value: 'faulted' })
    expect(typed('label.team: a b')).toEqual({ name: 'label.team', value: 'a b' })
    expect(typed('o-1042')).toEqual({ name: 'q', value: 'o-1042' })
    expect(typed('unknown=x')).toEqual({ name: 'q', value: 'unknown=x' })
    expect(typed('  ')).toBeNull()
  })

  it('say what the API would refuse', () => {
    expect(tokens({ status: 'faulted,broken' })[0]?.bad).toBe("status can't be broken")
    expect(tokens({ started: '1h' })[0]).toMatchObject({ word: 'started', text: 'last hour' })
  })
})

describe('views', () => {
  const mine = { name: 'EU', search: { status: 'faulted', 'label.region': 'eu' } }

  it('are found by their filters in any order', () => {
    expect(viewOf([...BUILT_IN, mine], { 'label.region': 'eu', status: 'faulted' })).toBe(mine)
    expect(viewOf([...BUILT_IN, mine], { status: 'faulted' })).toBeUndefined()
    expect(viewOf(BUILT_IN, {})?.name).toBe('All')
  })

  it('of one name replace each other', () => {
    const next = { name: 'EU', search: { status: 'running' } }
    expect(withView([mine], next)).toEqual([next])
    expect(withView([mine], { ...next, name: 'B' })).toHaveLength(2)
  })

  it('come from storage only if they are views', () => {
    const stored = [
      mine,
      { name: ' ', search: { q: 'x' } },
      { name: 'x', search: { evil: '1' } },
      3,
    ]
    expect(readViews(JSON.stringify([...stored, null]))).toEqual([mine])
    expect(readViews('{')).toEqual([])
    expect(readViews('"x"')).toEqual([])
    expect(readViews(null)).toEqual([])
  })
})
