import { describe, expect, it } from 'vitest'
import { documentGraph, lookUp } from './documentGraph'
import { type Direction, END, G, type GraphNode, graph, START } from './graph'

const task = (name: string, more: Partial<GraphNode> = {}): GraphNode => ({
  reference: `/do/${name}`,
  name,
  kind: 'call',
  ...more,
})

/** A document with every kind of block, a forward jump and a back jump. */
const EVERYTHING: GraphNode[] = [
  task('a', { undo: { name: 'undoA', reference: '/do/a/metadata/compensate' } }),
  task('choose', {
    kind: 'switch',
    cases: [
      { name: 'big', then: 'loop' },
      { name: 'small', then: 'both' },
      { name: 'none', then: 'end' },
    ],
  }),
  task('loop', { kind: 'for', body: [task('in1'), task('in2', { then: 'in1' })] }),
  task('safe', { kind: 'try', body: [task('risky')], catch: [task('handler')] }),
  task('both', { kind: 'fork', branches: [[task('left')], [task('right')], [task('third')]] }),
  task('last', { then: 'a' }),
]

describe.each<Direction>(['x', 'y'])('a graph in direction %s', (dir) => {
  const placed = graph(EVERYTHING, dir)
  const boxes = [...placed.nodes, ...placed.blocks]

  it('places every task, block and end once', () => {
    const names = boxes.map((box) => box.node.reference)
    expect(new Set(names).size).toBe(names.length)
    expect(names).toContain(START)
    expect(names).toContain(END)
    expect(names).toHaveLength(6 + 3 + 2 + 3 + 2)
  })

  it('keeps every box within its bounds', () => {
    for (const box of boxes) {
      expect(box.x).toBeGreaterThanOrEqual(0)
      expect(box.y).toBeGreaterThanOrEqual(0)
      expect(box.x + box.w).toBeLessThanOrEqual(placed.w + 0.01)
      expect(box.y + box.h).toBeLessThanOrEqual(placed.h + 0.01)
    }
  })

  it('lets no two tasks overlap', () => {
    for (const [at, a] of placed.nodes.entries()) {
      for (const b of placed.nodes.slice(at + 1)) {
        const apart = a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y
        expect(apart, `${a.node.name} and ${b.node.name}`).toBe(true)
      }
    }
  })

  it('draws a task inside the frame of its block', () => {
    const frame = placed.blocks.find((block) => block.node.name === 'safe')
    const inner = placed.nodes.find((node) => node.node.name === 'handler')
    if (!frame || !inner) throw new Error('missing')
    expect(inner.x).toBeGreaterThan(frame.x)
    expect(inner.x + inner.w).toBeLessThan(frame.x + frame.w)
    expect(inner.y + inner.h).toBeLessThan(frame.y + frame.h)
    expect(frame.split).not.toBeNull()
  })

  it('draws jumps as arcs, the case that goes on as a label', () => {
    const of = (label: string) => placed.edges.find((edge) => edge.label === label)
    expect(of('big')?.kind).toBe('next')
    expect(of('small')?.kind).toBe('jump')
    expect(of('none')).toMatchObject({ kind: 'jump', to: END })
    expect(placed.edges.find((edge) => edge.kind === 'back' && edge.from === '/do/last')?.to).toBe(
      '/do/a',
    )
  })

  it('draws no straight edge after a task that jumps away', () => {
    const straight = placed.edges.filter((edge) => edge.kind === 'next')
    expect(straight.some((edge) => edge.from === '/do/last')).toBe(false)
  })

  it('hangs the compensation at its task', () => {
    const pill = placed.nodes.find((node) => node.node.kind === 'undo')
    const owner = placed.nodes.find((node) => node.node.name === 'a')
    if (!pill || !owner) throw new Error('missing')
    const gap = dir === 'x' ? pill.y - owner.y - owner.h : pill.x - owner.x - owner.w
    expect(gap).toBe(G.undoGap)
  })
})

it('gives jumps that overlap lanes of their own', () => {
  const far = [task('s', { then: 'e' }), task('t', { then: 'f' }), task('u'), task('e'), task('f')]
  const levels = graph(far)
    .edges.filter((edge) => edge.kind === 'jump')
    .map((edge) => edge.at?.y)
  expect(new Set(levels).size).toBe(2)
})

it('lays out an empty workflow and an empty block', () => {
  expect(graph([]).nodes).toHaveLength(2)
  expect(graph([task('empty', { kind: 'do', body: [] })]).blocks).toHaveLength(1)
})

it('takes linear time', () => {
  const many = (n: number) => Array.from({ length: n }, (_, at) => task(`t${at}`))
  expect(graph(many(2000)).nodes).toHaveLength(2002)
})

describe('a document', () => {
  const document = {
    do: [
      { 'a/b': { call: 'shop.tasks.reserve', metadata: { compensate: { call: 'shop.release' } } } },
      { pick: { switch: [{ big: { when: '.x', then: 'wait' } }, { rest: {} }] } },
      { each: { for: { each: 'item', in: '.items' }, do: [{ one: { set: {} } }] } },
      {
        safe: {
          try: [{ t: { call: 'http', with: { endpoint: 'https://a.example' } } }],
          catch: { do: [{ h: { raise: {} } }] },
        },
      },
      {
        both: {
          fork: {
            branches: [
              { l: { wait: 'PT1S' } },
              { r: { emit: { event: { with: { type: 'x.y' } } } } },
            ],
          },
        },
      },
      { wait: { listen: { to: { one: { with: { type: 'shop.approved' } } } } } },
    ],
  }

  it('becomes blocks keyed by JSON pointer', () => {
    const nodes = documentGraph(document)
    expect(nodes[0]).toMatchObject({
      reference: '/do/0/a~1b',
      summary: 'reserve',
      undo: { name: 'release' },
    })
    expect(nodes[1]?.cases).toEqual([
      { name: 'big', then: 'wait', when: '.x' },
      { name: 'rest', then: 'continue', when: undefined },
    ])
    expect(nodes[2]?.body?.[0]?.reference).toBe('/do/2/each/do/0/one')
    expect(nodes[3]?.catch?.[0]?.reference).toBe('/do/3/safe/catch/do/0/h')
    expect(nodes[4]?.branches?.map(([branch]) => branch?.summary)).toEqual(['PT1S', 'x.y'])
    expect(nodes[5]?.summary).toBe('shop.approved')
    for (const node of nodes) expect(lookUp(document, node.reference)).toBeDefined()
  })

  it('that is a draft is drawn as far as it goes', () => {
    for (const draft of [null, 3, {}, { do: 'x' }, { do: [null, 'x', { a: 3 }, { b: {} }] }]) {
      expect(() => documentGraph(draft)).not.toThrow()
    }
    expect(documentGraph({ do: [{ a: 3 }, { b: {} }] })).toHaveLength(1)
  })

  it('is not looked up in what objects inherit', () => {
    expect(lookUp({ do: {} }, '/do/constructor')).toBeUndefined()
    expect(lookUp({}, '/__proto__')).toBeUndefined()
  })
})
