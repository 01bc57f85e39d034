import { expect, it } from 'vitest'
import { type ComparedStep, compareRuns, isSlower } from './compareRuns'

const at = (ms: number): string => new Date(ms).toISOString()
let id = 0
const step = (
  name: string,
  more: Partial<ComparedStep> & { took?: number } = {},
): ComparedStep => ({
  id: ++id,
  reference: `/do/${name}`,
  name,
  index: null,
  status: 'completed',
  compensates: null,
  started_at: at(0),
  ended_at: at(more.took ?? 10),
  attempts: [{ state: 'succeeded' }],
  ...more,
})

it('pairs steps by task, and puts what only one has where it belongs', () => {
  const pairs = compareRuns(
    [step('a'), step('b'), step('d')],
    [step('z'), step('a'), step('c'), step('d', { status: 'faulted' })],
  )
  expect(pairs.map((pair) => [pair.step.name, pair.differs])).toEqual([
    ['z', 'missing'],
    ['a', ''],
    ['c', 'missing'],
    ['b', 'missing'],
    ['d', 'state'],
  ])
  expect(pairs.map((pair) => [pair.a === null, pair.b === null])).toEqual([
    [true, false],
    [false, false],
    [true, false],
    [false, true],
    [false, false],
  ])
})

it('pairs the turns of a loop in their order', () => {
  const turns = (n: number) => Array.from({ length: n }, (_, index) => step('t', { index }))
  const pairs = compareRuns(turns(3), turns(5))
  expect(pairs.map((pair) => pair.step.index)).toEqual([0, 1, 2, 3, 4])
  expect(pairs.filter((pair) => pair.differs === 'missing')).toHaveLength(2)
})

it('tells a slower step from noise, and an open one from both', () => {
  const of = (a: number, b: number) =>
    compareRuns([step('x', { took: a })], [step('x', { took: b })])
  expect(of(10, 25).map(isSlower)).toEqual([false])
  expect(of(1000, 1100).map(isSlower)).toEqual([false])
  expect(of(1000, 1300).map(isSlower)).toEqual([true])
  const open = compareRuns([step('x', { ended_at: null })], [step('x')])
  expect([open[0]?.tookA, open.map(isSlower)]).toEqual([null, [false]])
})

it('sees that one was tried more often', () => {
  const again = step('x', { attempts: [{ state: 'lost' }, { state: 'succeeded' }] })
  expect(compareRuns([step('x')], [again])[0]?.differs).toBe('attempts')
})
