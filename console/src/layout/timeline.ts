/** Layout of an instance's timeline: a scale that shortens pauses, bars of steps, strips of loops. */

import { micros } from '../words/time'

export interface Span {
  from: number
  to: number
}

export interface Scale {
  /** The position of a time in ms, in px of the width. */
  x: (time: number) => number
  /** The time at a position. */
  time: (x: number) => number
  breaks: { x: number; w: number; ms: number }[]
  ticks: Tick[]
  from: number
  to: number
}

export interface Tick {
  x: number
  ms: number
  /** It counts from the end of the pause before it. */
  plus: boolean
}

interface Piece {
  a: number
  b: number
  cut: boolean
  x: number
  w: number
}

/**
 * Return a scale that keeps what is busy and shortens what is idle.
 *
 * `spans`: all that ran, in ms. A pause longer than `idle` of the width at an even scale becomes a
 * break of `gap` px. `even`: no breaks. `range`: only this part is shown, evenly.
 */
export function scale(
  spans: Span[],
  width: number,
  { idle = 0.12, gap = 34, even = false, range }: ScaleOptions = {},
): Scale {
  const merged = range ? [[range.from, range.to] as [number, number]] : union(spans)
  const t0 = merged[0]?.[0] ?? 0
  const t1 = Math.max(t0 + 1, merged.at(-1)?.[1] ?? 0)
  const total = t1 - t0
  const pieces: Piece[] = []
  merged.forEach(([a, b], at) => {
    pieces.push({ a, b, cut: false, x: 0, w: 0 })
    const next = merged[at + 1]
    if (!next) return
    pieces.push({ a: b, b: next[0], cut: !even && next[0] - b > idle * total, x: 0, w: 0 })
  })
  const cuts = pieces.filter((piece) => piece.cut)
  const busy = Math.max(1, total - cuts.reduce((sum, piece) => sum + piece.b - piece.a, 0))
  const unit = Math.max(0, width - cuts.length * gap) / busy
  let x = 0
  for (const piece of pieces) {
    piece.x = x
    piece.w = piece.cut ? gap : (piece.b - piece.a) * unit
    x += piece.w
  }
  return {
    x: (time) => position(pieces, time, t0),
    time: (at) => moment(pieces, at, t0, t1),
    breaks: cuts.map((piece) => ({ x: piece.x, w: piece.w, ms: piece.b - piece.a })),
    ticks: ticks(t0, unit, width, pieces).filter(
      (tick) => !cuts.some((cut) => covers(cut, tick.x)),
    ),
    from: t0,
    to: t1,
  }
}

export interface ScaleOptions {
  idle?: number
  gap?: number
  even?: boolean
  range?: Span
}

/** Return a scale of order: every time at which something happened is as far from the next. */
export function orderScale(spans: Span[], width: number): Scale {
  const times = [...new Set(spans.flatMap(({ from, to }) => [from, to]))].sort((a, b) => a - b)
  const unit = width / Math.max(1, times.length - 1)
  const rank = (time: number): number => {
    let lo = 0
    let hi = times.length - 1
    while (lo < hi) {
      const mid = (lo + hi) >> 1
      if ((times[mid] ?? 0) < time) lo = mid + 1
      else hi = mid
    }
    return lo
  }
  const [from, to] = [times[0] ?? 0, times.at(-1) ?? 1]
  return {
    x: (time) => rank(time) * unit,
    time: (x) => times[Math.max(0, Math.min(times.length - 1, Math.round(x / unit)))] ?? from,
    breaks: [],
    ticks: [],
    from,
    to,
  }
}

function union(spans: Span[]): [number, number][] {
  const merged: [number, number][] = []
  for (const { from, to } of [...spans].sort((p, q) => p.from - q.from)) {
    const last = merged.at(-1)
    if (last && from <= last[1]) last[1] = Math.max(last[1], to)
    else merged.push([from, to])
  }
  return merged
}

/** The length of a pause is written over it, where no mark may stand. */
const covers = (cut: Piece, x: number): boolean => Math.abs(cut.x + cut.w / 2 - x) < cut.w / 2 + 42

function position(pieces: Piece[], time: number, t0: number): number {
  if (time <= t0) return 0
  let lo = 0
  let hi = pieces.length - 1
  while (lo < hi) {
    const mid = (lo + hi) >> 1
    if (time <= (pieces[mid]?.b ?? 0)) hi = mid
    else lo = mid + 1
  }
  const piece = pieces[lo]
  if (!piece) return 0
  if (piece.b === piece.a) return piece.x
  return piece.x + ((Math.min(time, piece.b) - piece.a) / (piece.b - piece.a)) * piece.w
}

function moment(pieces: Piece[], x: number, t0: number, t1: number): number {
  if (x <= 0) return t0
  const piece = pieces.find((each) => x <= each.x + each.w)
  if (!piece) return t1
  return piece.w === 0 ? piece.a : piece.a + ((x - piece.x) / piece.w) * (piece.b - piece.a)
}

const SECOND = 1000
const HOUR = 3600 * SECOND
const STEPS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1, 2, 5, 10, 30, 60, 300, 600, 1800, 1, 3, 12, 24, 168, 720,
].map((n, at) => n * (at < 9 ? 1 : at < 18 ? SECOND : HOUR))

/** Every stretch between two breaks counts from its own start: `plus` is true after a break. */
function ticks(t0: number, unit: number, width: number, pieces: Piece[]): Tick[] {
  if (unit <= 0) return []
  const step = STEPS.find((each) => each * unit >= 84) ?? HOUR * 24 * 365
  const out: Tick[] = []
  let base = t0
  let plus = false
  for (const piece of pieces) {
    if (piece.cut) {
      base = piece.b
      plus = true
      continue
    }
    for (let n = Math.ceil((piece.a - base) / step); base + n * step <= piece.b; n++) {
      const x = piece.x + (base + n * step - piece.a) * unit
      const last = out.at(-1)
      if (x > width - 30 || (plus && n === 0) || (last && x - last.x < 60)) continue
      out.push({ x, ms: n * step, plus })
    }
  }
  return out
}

// ---------------------------------------------------------------- bars

export type BarKind =
  | 'queue'
  | 'run'
  | 'failed'
  | 'ghost'
  | 'withdrawn'
  | 'now'
  | 'late'
  | 'backoff'
  | 'instant'
  | 'span'
  | 'wait'

export interface Bar extends Span {
  kind: BarKind
  attempt?: number
  worker?: string | null
}

/** What a timeline needs of an attempt. */
export interface TimedAttempt {
  number: number
  state: string
  worker?: string | null
  created_at: string
  claimed_at: string | null
  ended_at: string | null
  late?: { at: string; state: string } | null
}

/** What a timeline needs of a step. */
export interface TimedStep {
  status: string
  started_at: string | null
  ended_at: string | null
  retry_at?: string | null
  attempts: TimedAttempt[]
}

const KINDS: Record<string, BarKind> = {
  succeeded: 'run',
  failed: 'failed',
  lost: 'ghost',
  withdrawn: 'withdrawn',
  claimed: 'now',
}

/** Shorter pauses between two attempts are no backoff: the next one was made at once. */
const AT_ONCE = 50

/**
 * Return the bars of one step.
 *
 * Every attempt gives a `queue` line (made ready to claimed) and a bar (claimed to ended): run,
 * failed, ghost (lost), withdrawn or now. A lost attempt whose result came later gives a `late`
 * tail. Between two attempts stands a `backoff` line. A step without attempts is an instant, a
 * wait, or the span of the block that it is.
 */
export function bars(step: TimedStep, now: number): Bar[] {
  const out: Bar[] = []
  step.attempts.forEach((attempt, at) => {
    const made = micros(attempt.created_at)
    const claimed = attempt.claimed_at === null ? null : micros(attempt.claimed_at)
    const ended = attempt.ended_at === null ? Math.max(now, made) : micros(attempt.ended_at)
    const before = step.attempts[at - 1]?.ended_at
    if (before && made - micros(before) > AT_ONCE) {
      out.push({ kind: 'backoff', from: micros(before), to: made })
    }
    const number = attempt.number
    if (claimed === null) {
      out.push({ kind: 'queue', from: made, to: ended, attempt: number })
      return
    }
    if (claimed > made) out.push({ kind: 'queue', from: made, to: claimed, attempt: number })
    const kind = KINDS[attempt.state] ?? 'run'
    out.push({ kind, from: claimed, to: ended, attempt: number, worker: attempt.worker })
    if (attempt.late) {
      out.push({ kind: 'late', from: ended, to: micros(attempt.late.at), attempt: number })
    }
  })
  const last = step.attempts.at(-1)
  if (last?.ended_at && step.retry_at && !step.ended_at) {
    out.push({ kind: 'backoff', from: micros(last.ended_at), to: micros(step.retry_at) })
  }
  if (!step.attempts.length && step.started_at) {
    const from = micros(step.started_at)
    const to = step.ended_at ? micros(step.ended_at) : Math.max(now, from)
    const kind = step.ended_at ? (to - from < 1 ? 'instant' : 'span') : 'wait'
    out.push({ kind, from, to })
  }
  return out
}

// ---------------------------------------------------------------- strip

export interface Cell {
  status: string
  from: number
  to: number
  count: number
  /** One of its steps was tried more than once. */
  again: boolean
}

const RANK = ['completed', 'pending', 'waiting', 'running', 'suspended', 'cancelled', 'faulted']
export const MOST_CELLS = 200

/** Return many like steps (a loop's turns) as at most `cells` cells; the worst status wins. */
export function strip(
  steps: { status: string; index: number | null; again: boolean }[],
  cells = MOST_CELLS,
): Cell[] {
  const n = Math.min(cells, steps.length)
  return Array.from({ length: n }, (_, at) => {
    const part = steps.slice(
      Math.floor((at * steps.length) / n),
      Math.floor(((at + 1) * steps.length) / n),
    )
    const status = part.reduce(
      (worst, step) => (RANK.indexOf(step.status) > RANK.indexOf(worst) ? step.status : worst),
      'completed',
    )
    return {
      status,
      from: part[0]?.index ?? 0,
      to: part.at(-1)?.index ?? 0,
      count: part.length,
      again: part.some((step) => step.again),
    }
  })
}
