/** Two runs beside each other, step by step. Pure: no clock, no DOM. */

import { micros } from '../words/time'

export interface ComparedStep {
  id: number
  reference: string
  name: string
  index: number | null
  status: string
  compensates: number | null
  started_at: string | null
  ended_at: string | null
  attempts: { state: string }[]
}

export type Differs = 'missing' | 'state' | 'attempts' | ''

export interface Pair<S extends ComparedStep = ComparedStep> {
  key: string
  step: S
  a: S | null
  b: S | null
  /** How long each took, in ms; null while it has not ended. */
  tookA: number | null
  tookB: number | null
  differs: Differs
}

/** The steps of one task are told apart by the order in which they were made: turns, later runs. */
function keyed<S extends ComparedStep>(steps: S[]): Map<string, S> {
  const seen = new Map<string, number>()
  return new Map(
    steps.map((step) => {
      const nth = seen.get(step.reference) ?? 0
      seen.set(step.reference, nth + 1)
      return [`${step.reference} ${nth}`, step]
    }),
  )
}

const took = (step: ComparedStep | null): number | null =>
  step?.started_at && step.ended_at ? micros(step.ended_at) - micros(step.started_at) : null

function differs(a: ComparedStep | null, b: ComparedStep | null): Differs {
  if (!a || !b) return 'missing'
  if (a.status !== b.status) return 'state'
  return a.attempts.length === b.attempts.length ? '' : 'attempts'
}

/** Return every step of both, in the order of `a`; what only `b` has stands after what it followed. */
export function compareRuns<S extends ComparedStep>(a: S[], b: S[]): Pair<S>[] {
  const [inA, inB] = [keyed(a), keyed(b)]
  const followers = new Map<string, string[]>()
  let before = ''
  for (const key of inB.keys()) {
    if (inA.has(key)) before = key
    else followers.set(before, [...(followers.get(before) ?? []), key])
  }
  const order = [...(followers.get('') ?? [])]
  for (const key of inA.keys()) order.push(key, ...(followers.get(key) ?? []))
  return order.flatMap((key) => {
    const [one, other] = [inA.get(key) ?? null, inB.get(key) ?? null]
    const step = one ?? other
    if (!step) return []
    const pair = { key, step, a: one, b: other, tookA: took(one), tookB: took(other) }
    return [{ ...pair, differs: differs(one, other) }]
  })
}

/** Shorter differences are noise, in ms. */
const NOISE = 20

/** Whether one took longer than the other by more than noise and a fifth. */
export function isSlower(pair: Pair): boolean {
  if (pair.tookA === null || pair.tookB === null) return false
  const difference = Math.abs(pair.tookA - pair.tookB)
  return difference > NOISE && difference > Math.min(pair.tookA, pair.tookB) / 5
}
