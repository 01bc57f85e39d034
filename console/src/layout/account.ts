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
  id: number
  parent: number
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

const WAITS = new Set(['listen', 'wait', 'run'])
/** A pause of a `try` that is shorter, in ms, is no backoff: its next turn was begun at once. */
const AT_ONCE = 50

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
  for (const [from, to] of pauses(steps, now)) sums.backoff += to - from
  return sums
}

/** The pauses of every `try` between a turn that faulted and the next one, or now. */
function pauses(steps: AccountedStep[], now: number): [number, number][] {
  const turns = new Map<number, AccountedStep[]>()
  for (const step of steps) if (step.kind === 'try') turns.set(step.id, [])
  for (const step of steps) turns.get(step.parent)?.push(step)
  return steps.flatMap((step) =>
    (turns.get(step.id) ?? []).flatMap((turn, at, all): [number, number][] => {
      if (turn.status !== 'faulted' || !turn.ended_at) return []
      const [from, next] = [micros(turn.ended_at), all[at + 1]?.started_at]
      const to = next ? micros(next) : step.ended_at ? from : now
      return to - from > AT_ONCE ? [[from, to]] : []
    }),
  )
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
