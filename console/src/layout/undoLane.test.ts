import { expect, it } from 'vitest'
import { jsonDiff, lineDiff } from './jsonDiff'
import { type LaneStep, undoLane } from './undoLane'

const step = (id: number, more: Partial<LaneStep> = {}): LaneStep => ({
  id,
  name: `s${id}`,
  status: 'completed',
  parent: 0,
  kind: 'call',
  compensates: null,
  started_at: `2026-01-01T00:00:${String(id).padStart(2, '0')}Z`,
  ended_at: `2026-01-01T00:00:${String(id + 1).padStart(2, '0')}Z`,
  ...more,
})

it('mirrors each undo below what it undoes, numbered in the order they ran', () => {
  const lane = undoLane([
    step(1),
    step(2),
    step(3, { status: 'faulted' }),
    step(4, { compensates: 2 }),
    step(5, { compensates: 1 }),
  ])
  expect(lane.columns.map((column) => column.step.id)).toEqual([1, 2, 3])
  expect(lane.below.map((each) => [each.step.id, each.order, each.undoes.id])).toEqual([
    [4, 1, 2],
    [5, 2, 1],
  ])
  expect(lane.below.map((each) => each.x)).toEqual([200, 0])
  expect(lane.cause?.step.id).toBe(3)
})

it('orders what was done by its end, not by its start', () => {
  const slow = step(1, { ended_at: '2026-01-01T00:00:30Z' })
  expect(undoLane([slow, step(2)]).columns.map((column) => column.step.id)).toEqual([2, 1])
})

it('leaves out blocks, unless something undid them as a whole', () => {
  const inside = step(2, { parent: 1 })
  expect(undoLane([step(1, { kind: 'do' }), inside]).columns.map((c) => c.step.id)).toEqual([2])
  const whole = undoLane([step(1, { kind: 'do' }), inside, step(3, { compensates: 1 })])
  expect(whole.columns.map((c) => c.step.id)).toEqual([1, 2].sort())
  expect(whole.below[0]?.undoes.id).toBe(1)
})

it('counts the inside of a composite undo as no work done', () => {
  const lane = undoLane([
    step(1),
    step(2, { compensates: 1, kind: 'do' }),
    step(3, { parent: 2 }),
    step(4, { parent: 3 }),
  ])
  expect(lane.columns.map((column) => column.step.id)).toEqual([1])
  expect(lane.below).toHaveLength(1)
})

it('is empty where nothing ended', () => {
  expect(undoLane([step(1, { ended_at: null })])).toMatchObject({
    columns: [],
    below: [],
    width: 0,
  })
})

it('a difference has the changed lines, three around, and no more', () => {
  const before = Array.from({ length: 20 }, (_, at) => `line ${at}`)
  const after = before.with(10, 'new')
  const lines = lineDiff(before, after)
  expect(lines.map((line) => line.kind)).toEqual([
    'gap',
    ...Array(3).fill('same'),
    'removed',
    'added',
    ...Array(3).fill('same'),
    'gap',
  ])
  expect(lines.find((line) => line.kind === 'added')).toMatchObject({ after: 11, text: 'new' })
})

it('JSON is compared by member, not by the order of members', () => {
  const kinds = jsonDiff({ a: 1, b: 2 }, { b: 2, a: 1 }).map((line) => line.kind)
  expect(kinds).toEqual(['gap'])
  const changed = jsonDiff({ card: 'stolen' }, { card: 'gold' }).filter((l) => l.kind !== 'same')
  expect(changed.map((line) => line.text.trim())).toEqual(['"card": "stolen"', '"card": "gold"'])
})

it('a difference of all lines keeps both', () => {
  const lines = lineDiff(['a', 'b'], ['c'])
  expect(lines.map((line) => [line.kind, line.text])).toEqual([
    ['removed', 'a'],
    ['removed', 'b'],
    ['added', 'c'],
  ])
})
