import { describe, expect, it } from 'vitest'
import { account } from './account'
import { bars, orderScale, scale, strip, type TimedAttempt, type TimedStep } from './timeline'

const at = (seconds: number): string => new Date(seconds * 1000).toISOString()

const attempt = (more: Partial<TimedAttempt>): TimedAttempt => ({
  number: 1,
  state: 'succeeded',
  worker: 'w',
  created_at: at(0),
  claimed_at: at(1),
  ended_at: at(2),
  ...more,
})

const step = (more: Partial<TimedStep>): TimedStep => ({
  status: 'completed',
  started_at: at(0),
  ended_at: at(2),
  attempts: [],
  ...more,
})

describe('the scale', () => {
  it('is even without pauses', () => {
    const view = scale([{ from: 0, to: 1000 }], 500)
    expect(view.x(0)).toBe(0)
    expect(view.x(500)).toBe(250)
    expect(view.x(1000)).toBe(500)
    expect(view.breaks).toEqual([])
  })

  it('shortens a long pause, and its ticks count anew', () => {
    const view = scale(
      [
        { from: 0, to: 1000 },
        { from: 101_000, to: 102_000 },
      ],
      534,
    )
    expect(view.breaks).toEqual([{ x: 250, w: 34, ms: 100_000 }])
    expect(view.x(101_000)).toBe(284)
    const after = view.ticks.filter((tick) => tick.x > 284)
    expect(after.length).toBeGreaterThan(0)
    expect(after.every((tick) => tick.plus && tick.ms <= 1000)).toBe(true)
  })

  it('keeps a short pause and, where asked, a long one', () => {
    const busy = [
      { from: 0, to: 1000 },
      { from: 1050, to: 2000 },
    ]
    expect(scale(busy, 500).breaks).toEqual([])
    const idle = [
      { from: 0, to: 1 },
      { from: 1000, to: 1001 },
    ]
    expect(scale(idle, 500, { even: true }).breaks).toEqual([])
  })

  it('goes back from a position to its time', () => {
    const view = scale(
      [
        { from: 0, to: 1000 },
        { from: 101_000, to: 102_000 },
      ],
      534,
    )
    for (const time of [0, 400, 1000, 101_500, 102_000]) {
      expect(view.time(view.x(time))).toBeCloseTo(time, 3)
    }
  })

  it('never goes backward', () => {
    const view = scale(
      [
        { from: 5, to: 50 },
        { from: 20, to: 900 },
        { from: 4000, to: 4100 },
      ],
      800,
    )
    let last = -1
    for (let time = 0; time < 4200; time += 10) {
      expect(view.x(time)).toBeGreaterThanOrEqual(last)
      last = view.x(time)
    }
    expect(last).toBeCloseTo(800)
  })

  it('of order gives each event the same width', () => {
    const view = orderScale(
      [
        { from: 0, to: 1 },
        { from: 1000, to: 9000 },
      ],
      300,
    )
    expect([0, 1, 1000, 9000].map(view.x)).toEqual([0, 100, 200, 300])
  })

  it('survives nothing and one moment', () => {
    expect(scale([], 500).x(3)).toBe(0)
    expect(scale([{ from: 7, to: 7 }], 500).x(7)).toBe(0)
    expect(orderScale([], 500).x(3)).toBe(0)
  })
})

describe('bars', () => {
  const kinds = (given: TimedStep, now = 99_000) => bars(given, now).map((bar) => bar.kind)

  it('tell queued and run', () => {
    expect(kinds(step({ attempts: [attempt({})] }))).toEqual(['queue', 'run'])
  })

  it('tell a lost attempt, its late result and its successor', () => {
    const lost = attempt({ state: 'lost', late: { at: at(9), state: 'succeeded' } })
    const next = attempt({ number: 2, created_at: at(2), claimed_at: at(2), ended_at: at(3) })
    expect(kinds(step({ attempts: [lost, next] }))).toEqual(['queue', 'ghost', 'late', 'run'])
  })

  it('tell the wait between two attempts, and for the next one', () => {
    const failed = attempt({ state: 'failed' })
    const next = attempt({ number: 2, created_at: at(5), claimed_at: at(5), ended_at: at(6) })
    expect(kinds(step({ attempts: [failed, next] }))).toEqual(['queue', 'failed', 'backoff', 'run'])
    const open = step({ status: 'waiting', ended_at: null, retry_at: at(30), attempts: [failed] })
    expect(kinds(open)).toEqual(['queue', 'failed', 'backoff'])
  })

  it('grow with the time while they run', () => {
    const open = step({ ended_at: null, attempts: [attempt({ state: 'claimed', ended_at: null })] })
    const [, bar] = bars(open, 50_000)
    expect(bar).toMatchObject({ kind: 'now', from: 1000, to: 50_000 })
  })

  it('of steps without attempts are instants, spans and waits', () => {
    expect(kinds(step({ ended_at: at(0) }))).toEqual(['instant'])
    expect(kinds(step({}))).toEqual(['span'])
    expect(kinds(step({ ended_at: null }))).toEqual(['wait'])
    expect(kinds(step({ started_at: null, ended_at: null }))).toEqual([])
  })
})

it('a strip shows the worst status of each cell', () => {
  const turns = Array.from({ length: 1000 }, (_, index) => ({
    index,
    status: index === 777 ? 'faulted' : 'completed',
    again: index === 3,
  }))
  const cells = strip(turns)
  expect(cells).toHaveLength(200)
  expect(cells.filter((cell) => cell.status === 'faulted')).toEqual([
    { status: 'faulted', from: 775, to: 779, count: 5, again: false },
  ])
  expect(cells[0]?.again).toBe(true)
  expect(cells.reduce((sum, cell) => sum + cell.count, 0)).toBe(1000)
  expect(strip([])).toEqual([])
})

it('the account adds up what the attempts did', () => {
  const lost = attempt({ state: 'lost' })
  const next = attempt({ number: 2, created_at: at(5), claimed_at: at(6), ended_at: at(8) })
  const of = { id: 1, parent: 0 }
  const spent = account(
    [
      { ...of, ...step({ attempts: [lost, next] }), kind: 'call', compensates: null },
      {
        ...of,
        ...step({ started_at: at(8), ended_at: at(12) }),
        kind: 'listen',
        compensates: null,
      },
      { ...of, ...step({ started_at: at(0), ended_at: at(12) }), kind: 'do', compensates: null },
      { ...of, ...step({ attempts: [attempt({})] }), kind: 'call', compensates: 1 },
    ],
    0,
  )
  expect(spent).toEqual({
    running: 2000,
    lost: 1000,
    backoff: 3000,
    queued: 2000,
    waiting: 4000,
    suspended: 0,
    undoing: 2000,
  })
})

it('counts the pauses of a try, of one that goes on until now', () => {
  const block = { ...step({ status: 'waiting', ended_at: null }), id: 1, parent: 0 }
  const turn = (id: number, from: number, to: number) => ({
    ...step({ status: 'faulted', started_at: at(from), ended_at: at(to) }),
    ...{ id, parent: 1, kind: 'call', compensates: null },
    attempts: [attempt({ created_at: at(from), claimed_at: at(from), ended_at: at(to) })],
  })
  const run = { ...step({ started_at: at(0), ended_at: null }), id: 9, parent: 0 }
  const spent = account(
    [
      { ...block, kind: 'try', compensates: null },
      turn(2, 0, 1),
      turn(3, 4, 5),
      { ...run, kind: 'run', compensates: null },
    ],
    10_000,
  )
  expect(spent.backoff).toBe(8000)
  expect(spent.running).toBe(2000)
  expect(spent.waiting).toBe(10_000)
})
