/** Where the time of an instance went, added up from the attempts of its steps. */

import { micros } from '../words/time'
import { type Bar, bars, type TimedStep } from './timeline'

export const SPENT = [
  'running',
  'lost',
  'backoff',
  'queued',
  'waiting',
  'suspended',
  'undoing',
] as const
export type Spent = (typeof SPENT)[number]

export type Account = Record<Spent, number>

interface AccountedStep extends TimedStep {
  kind: string
  compensates: number | null
}

const KIND: Partial<Record<Bar['kind'], Spent>> = {
  run: 'running',
  now: 'running',
  failed: 'running',
  withdrawn: 'running',
  ghost: 'lost',
  backoff: 'backoff',
  queue: 'queued',
  wait: 'waiting',
}

const WAITS = new Set(['listen', 'wait'])

/** Return the time spent in each way, in ms, summed over all steps (branches count each). */
export function account(steps: AccountedStep[], now: number): Account {
  const sums = Object.fromEntries(SPENT.map((each) => [each, 0])) as Account
  for (const step of steps) {
    for (const bar of bars(step, now)) {
      const length = bar.to - bar.from
      const kind = spent(step, bar)
      if (kind) sums[kind] += length
    }
  }
  return sums
}

function spent(step: AccountedStep, bar: Bar): Spent | undefined {
  if (step.compensates !== null) return 'undoing'
  if (step.attempts.length === 0) return WAITS.has(step.kind) ? 'waiting' : undefined
  return KIND[bar.kind]
}

/** Return the time from the start to the end (or now), in ms. */
export function total(
  instance: { started_at: string | null; ended_at: string | null },
  now: number,
): number {
  if (!instance.started_at) return 0
  const end = instance.ended_at ? micros(instance.ended_at) : now
  return Math.max(0, end - micros(instance.started_at))
}
