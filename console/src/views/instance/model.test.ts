import { describe, expect, it } from 'vitest'
import type { GraphNode } from '../../layout/graph'
import {
  fold,
  MOST_NODES,
  type ModelStep,
  nextError,
  nodeStates,
  quietTasks,
  rootCause,
  rows,
  tally,
} from './model'

const step = (id: number, more: Partial<ModelStep> = {}): ModelStep => ({
  id,
  parent: 0,
  reference: `/do/${id}/s${id}`,
  name: `s${id}`,
  kind: 'call',
  index: null,
  status: 'completed',
  outcome: null,
  compensates: null,
  started_at: '2026-01-01T00:00:00Z',
  ended_at: '2026-01-01T00:00:01Z',
  retry_at: null,
  error: null,
  attempts: [{ state: 'succeeded', number: 1 }],
  ...more,
})

const NONE = {
  toggled: new Set<number>(),
  only: '',
  find: '',
  quiet: new Set<string>(),
  selected: null,
} as const
const shown = (list: ReturnType<typeof rows>) =>
  list.map((row) => (row.kind === 'undo' ? 'undo' : `${row.kind} ${row.step.id}`))

describe('states of nodes', () => {
  it('are the worst open one, else the last', () => {
    const of = (...statuses: string[]) =>
      nodeStates(statuses.map((status, at) => step(at + 1, { reference: '/do/0/x', status }))).get(
        '/do/0/x',
      )
    expect(of('faulted', 'completed')).toMatchObject({ status: 'completed', step: 2, steps: 2 })
    expect(of('running', 'completed', 'waiting')).toMatchObject({ status: 'running', step: 1 })
    expect(of('completed', 'faulted')?.status).toBe('faulted')
    expect(of('waiting', 'suspended')?.status).toBe('suspended')
  })

  it('number the undo steps in the order they ran', () => {
    const states = nodeStates([
      step(1),
      step(2),
      step(3, { compensates: 2, reference: '/do/2/s2/metadata/compensate' }),
      step(4, { compensates: 1, reference: '/do/1/s1/metadata/compensate' }),
    ])
    expect(states.get('/do/2/s2/metadata/compensate')?.order).toBe(1)
    expect(states.get('/do/1/s1/metadata/compensate')?.order).toBe(2)
  })
})

describe('rows', () => {
  it('are the tree, and the undo steps under their heading', () => {
    const steps = [
      step(1, { kind: 'do' }),
      step(2, { parent: 1 }),
      step(3),
      step(4, { compensates: 2 }),
    ]
    expect(shown(rows(steps, NONE))).toEqual(['step 1', 'step 2', 'step 3', 'undo', 'step 4'])
  })

  it('fold what the reader folded, and what the document calls quiet', () => {
    const steps = [step(1, { kind: 'do' }), step(2, { parent: 1 })]
    expect(shown(rows(steps, { ...NONE, toggled: new Set([1]) }))).toEqual(['step 1'])
    const quiet = new Set(['/do/1/s1'])
    expect(shown(rows(steps, { ...NONE, quiet }))).toEqual(['step 1'])
    expect(shown(rows(steps, { ...NONE, quiet, toggled: new Set([1]) }))).toEqual([
      'step 1',
      'step 2',
    ])
  })

  it('make a long loop a strip, and below it what stands out', () => {
    const turns = Array.from({ length: 1000 }, (_, index) =>
      step(index + 2, { parent: 1, index, status: index === 500 ? 'faulted' : 'completed' }),
    )
    const list = rows([step(1, { kind: 'for' }), ...turns], NONE)
    expect(list.length).toBeLessThan(10)
    expect(shown(list)).toContain('step 502')
    expect(shown(list)[0]).toBe('strip 1')
    expect(list.at(-1)).toMatchObject({ kind: 'more' })
    const all = rows([step(1, { kind: 'for' }), ...turns], { ...NONE, toggled: new Set([1]) })
    expect(all).toHaveLength(1001)
  })

  it('are filtered by name, turn and error', () => {
    const steps = [step(1), step(2, { index: 41 }), step(3, { error: { detail: 'no money' } })]
    expect(shown(rows(steps, { ...NONE, find: '[41]' }))).toEqual(['step 2'])
    expect(shown(rows(steps, { ...NONE, find: 'NO MONEY' }))).toEqual(['step 3'])
  })

  it('show a step whose parent was pruned', () => {
    expect(shown(rows([step(9, { parent: 4 })], NONE))).toEqual(['step 9'])
  })
})

it('counts what stands out', () => {
  const again = step(3, {
    attempts: [
      { state: 'failed', number: 1 },
      { state: 'succeeded', number: 2 },
    ],
  })
  expect(tally([step(1), step(2, { status: 'faulted' }), again])).toEqual({
    all: 3,
    standout: 2,
    running: 0,
    retried: 1,
    faulted: 1,
  })
})

it('the root cause is the innermost fault', () => {
  const steps = [
    step(1, { kind: 'try', status: 'faulted' }),
    step(2, { parent: 1, status: 'faulted' }),
    step(3, { compensates: 9, status: 'faulted' }),
  ]
  expect(rootCause(steps)?.id).toBe(2)
  expect(rootCause([step(1)])).toBeNull()
})

it('goes around the errors', () => {
  const steps = [
    step(1, { status: 'faulted' }),
    step(2),
    step(3, { attempts: [{ state: 'lost', number: 1 }] }),
  ]
  expect([null, 1, 3].map((at) => nextError(steps, at))).toEqual([1, 3, 1])
})

describe('a large graph', () => {
  const block = (at: number): GraphNode => ({
    reference: `/do/${at}/b`,
    name: 'b',
    kind: 'do',
    body: Array.from({ length: 10 }, (_, n) => ({
      reference: `/do/${at}/b/do/${n}/t`,
      name: 't',
      kind: 'call',
    })),
  })
  const nodes = Array.from({ length: 10 }, (_, at) => block(at))

  it('folds its blocks, but not the way to what must be seen', () => {
    expect(nodes.length * 11).toBeGreaterThan(MOST_NODES)
    const folded = fold(nodes, new Set(), new Set(['/do/3/b/do/2/t']))
    expect(folded.filter((node) => node.folded).length).toBe(9)
    expect(folded[3]?.body).toHaveLength(10)
    expect(folded[0]?.folded).toBe(10)
  })

  it('opens what the reader opens', () => {
    expect(fold(nodes, new Set(['/do/0/b']), new Set())[0]?.body).toHaveLength(10)
  })

  it('a small one stays open', () => {
    expect(fold(nodes.slice(0, 2), new Set(), new Set())[0]?.folded).toBeUndefined()
  })
})

it('finds the tasks that a document calls quiet', () => {
  const quiet = { set: {}, metadata: { display: 'quiet' } }
  expect(quietTasks({ do: [{ a: { do: [{ 'x/y': quiet }] } }] })).toEqual(
    new Set(['/do/0/a/do/0/x~1y']),
  )
})
