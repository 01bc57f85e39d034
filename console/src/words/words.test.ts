import { describe, expect, it } from 'vitest'
import { crashStory, said } from './crash'
import { cause, deeds } from './history'
import { bytes, counted, cut } from './numbers'
import { cli, curl, quote } from './shell'
import { standing } from './states'
import { age, clock, micros, moment, relative, span, tick } from './time'
import { errorLine, ordered, tone } from './why'

describe('times', () => {
  it('have three figures at most', () => {
    const shown = [0, 26, 999, 2304, 9996, 59_940, 61_000, 420_000, 13_920_000, 190_000_000].map(
      span,
    )
    expect(shown).toEqual([
      '0 ms',
      '26 ms',
      '999 ms',
      '2.30 s',
      '10.0 s',
      '59.9 s',
      '1 min 1 s',
      '7 min',
      '3 h 52 min',
      '2 d 5 h',
    ])
    expect(span(3_599_999)).toBe('60 min')
  })

  it('keep their microseconds', () => {
    expect(micros('2026-11-29T20:38:42.145678Z') - micros('2026-11-29T20:38:42.145Z')).toBeCloseTo(
      0.678,
      3,
    )
  })

  it('are relative to the given present', () => {
    expect(relative(0, 420_000)).toBe('7 min ago')
    expect(relative(120_500, 0)).toBe('in 2 min')
    expect(relative(5, 0)).toBe('now')
    expect(age(47 * 3_600_000)).toBe('47 h')
  })

  it('leave out what is the same today', () => {
    const now = Date.UTC(2026, 10, 29, 12)
    expect(moment(Date.UTC(2026, 10, 29, 20, 38, 42), now, 'utc')).toBe('20:38:42')
    expect(moment(Date.UTC(2026, 10, 30, 2, 15), now, 'utc')).toBe('tomorrow 02:15:00')
    expect(moment(Date.UTC(2025, 0, 2), now, 'utc')).toBe('2025-01-02 00:00:00')
    expect(clock(Date.UTC(2026, 0, 1, 1, 2, 3, 45), 'utc', true)).toBe('01:02:03.045')
  })

  it('have no zeros at the end of a mark', () => {
    expect([500, 1000, 1500, 20_000, 60_000].map(tick)).toEqual([
      '500 ms',
      '1 s',
      '1.5 s',
      '20 s',
      '1 min',
    ])
  })
})

describe('commands', () => {
  it('are quoted for a shell', () => {
    expect(quote('o-1')).toBe('o-1')
    expect(quote("it's")).toBe(`'it'\\''s'`)
    expect(quote('$(rm -rf /)')).toBe(`'$(rm -rf /)'`)
    expect(quote('')).toBe("''")
  })

  it('show control characters instead of obeying them', () => {
    expect(quote('a\nb\u001b[31m')).toBe("$'a\\x0ab\\x1b[31m'")
  })

  it('have one option a line', () => {
    expect(
      cli(
        'retry',
        ['o 1'],
        [
          ['from', '3'],
          ['reason', undefined],
        ],
      ),
    ).toBe("orchestrator retry 'o 1' \\\n  --from 3")
    expect(curl('POST', '/v1/x', { a: 1 }, { 'if-match': '"3"' })).toContain(`-H 'if-match: "3"'`)
  })
})

describe('a crash', () => {
  const lost = {
    number: 1,
    state: 'lost',
    worker: 'a',
    process: 7,
    claimed_at: 't1',
    ended_at: 't2',
  }
  const won = { number: 2, state: 'succeeded', worker: 'b', claimed_at: 't2', ended_at: 't3' }
  const told = (attempts: (typeof lost | typeof won)[]) =>
    said(crashStory({ name: 'pay', status: 'completed', attempts }, 1) ?? [], (time) => time)

  it('is told from recorded fields only', () => {
    expect(told([lost, won])).toBe(
      'a took pay at t1 and was not heard of again. Its lease ended at t2;' +
        ' b then finished the step as attempt 2, under the same idempotency key.',
    )
  })

  it('names a death only where the worker reported it', () => {
    const died = { ...lost, because: { kind: 'child-exit', signal: 'SIGKILL' } }
    expect(told([died])).toBe('a took pay at t1. The process 7 of a died (SIGKILL) at t2.')
    expect(told([lost])).not.toContain('died')
  })

  it('tells a result that came too late', () => {
    const late = { ...lost, late: { at: 't9', state: 'succeeded' } }
    expect(told([late, won])).toContain('came at t9, too late, and was refused')
  })

  it('is no story of an attempt that was not lost', () => {
    expect(crashStory({ name: 'pay', status: 'completed', attempts: [won] }, 2)).toBeNull()
  })
})

describe('why', () => {
  it('has the worst cause first, then the oldest', () => {
    const causes = [
      { kind: 'running', message: 'a', since: '2026-01-01T00:00:00Z' },
      { kind: 'no-worker', message: 'b', since: '2026-01-03T00:00:00Z' },
      { kind: 'retry', message: 'c' },
      { kind: 'no-task', message: 'd', since: '2026-01-02T00:00:00Z' },
    ]
    expect(ordered(causes, 0).map((each) => each.message)).toEqual(['d', 'b', 'c', 'a'])
  })

  it('becomes an alarm with its age', () => {
    const cause = { kind: 'delivery', message: '', since: '1970-01-01T00:00:00Z' }
    expect(tone(cause, 5000)).toBe('soon')
    expect(tone(cause, 16_000)).toBe('alarm')
    expect(tone({ ...cause, tone: 'calm' }, 16_000)).toBe('calm')
  })

  it('leads in a list, with the status under it', () => {
    const words = (instance: Parameters<typeof standing>[0]) => {
      const { first, second } = standing(instance)
      return [first.word, second?.word]
    }
    expect(
      words({ status: 'running', compensation: 'none', why: { kind: 'no-worker', tone: 'alarm' } }),
    ).toEqual(['Stuck', 'Running'])
    expect(
      words({ status: 'waiting', compensation: 'none', why: { kind: 'retry', tone: 'soon' } }),
    ).toEqual(['Retrying', 'Waiting'])
    expect(words({ status: 'faulted', compensation: 'completed' })).toEqual(['Faulted', 'Undone'])
    expect(words({ status: 'completed', compensation: 'none' })).toEqual(['Completed', undefined])
  })

  it('of an error says what it can', () => {
    expect(errorLine({ title: 'CardDeclined', detail: 'no money' })).toBe('CardDeclined: no money')
    expect(errorLine({ type: 'https://x.example/errors/card-stolen' })).toBe('card-stolen')
  })
})

describe('history', () => {
  const name = (step: number | null | undefined) => ['', 'reserve', 'pay'][step ?? 0] ?? ''

  it('says what caused a transition and what it did', () => {
    expect(cause({ kind: 'result', step: 2, state: 'lost' }, name)).toBe('Loss of pay')
    expect(cause({ kind: 'start', data: { by: 'x' } }, name)).toBe('Start')
    expect(
      deeds(
        [
          { type: 'task.completed', step: 1 },
          { type: 'task.created', step: 2 },
          { type: 'task.started', step: 2 },
        ],
        name,
      ),
    ).toBe('reserve completed, pay started')
    expect(deeds([{ type: 'workflow.started', step: null }], name)).toBe('Instance started')
  })
})

it('numbers and long texts', () => {
  expect([counted(1, 'step'), counted(1200, 'step')]).toEqual(['1 step', '1,200 steps'])
  expect([bytes(999), bytes(4200), bytes(64_000), bytes(5_000_000)]).toEqual([
    '999 B',
    '4.2 kB',
    '64 kB',
    '5.0 MB',
  ])
  expect(cut('abcdefghijklmnopqrstuvwxyz', 20)).toBe('abcdefghijk…stuvwxyz')
  expect(cut('😀'.repeat(30), 12)).toBe(`${'😀'.repeat(3)}…${'😀'.repeat(8)}`)
})
