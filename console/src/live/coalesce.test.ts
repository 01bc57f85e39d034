import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Coalescer, type Gathered } from './coalesce'

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

const started = () => {
  const told: Gathered[] = []
  const gathered = new Coalescer(
    500,
    (changes) => told.push(changes),
    () => Date.now(),
  )
  return { told, gathered }
}

it('tells a storm of changes at most twice a second, each instance once', () => {
  const { told, gathered } = started()
  for (let n = 0; n < 3000; n++) {
    gathered.add([`i${n % 7}`])
    vi.advanceTimersByTime(1)
  }
  expect(told.length).toBeLessThanOrEqual(7)
  expect(told.every((each) => (each.instances?.size ?? 0) <= 7)).toBe(true)
})

it('loses no change: the last one is told', () => {
  const { told, gathered } = started()
  gathered.add(['a'])
  vi.runAllTimers()
  gathered.add(['b'])
  vi.runAllTimers()
  expect(told.map((each) => [...(each.instances ?? [])])).toEqual([['a'], ['b']])
})

it('asks for nothing while the page is hidden, and for all of it afterwards', () => {
  const { told, gathered } = started()
  gathered.pause(true)
  gathered.add(['a'])
  gathered.add(['b'])
  vi.advanceTimersByTime(60_000)
  expect(told).toEqual([])
  gathered.pause(false)
  vi.runAllTimers()
  expect(told.map((each) => [...(each.instances ?? [])])).toEqual([['a', 'b']])
})

it('forgets which ones changed when there are too many', () => {
  const { told, gathered } = started()
  gathered.add(Array.from({ length: 600 }, (_, n) => `i${n}`))
  vi.runAllTimers()
  expect(told[0]?.instances).toBeNull()
})
