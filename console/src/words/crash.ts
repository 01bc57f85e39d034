/** What became of a lost attempt, in one sentence, from recorded fields only. */

export interface CrashAttempt {
  number: number
  state: string
  worker: string | null
  process?: number | null
  claimed_at: string | null
  ended_at: string | null
  late?: { at: string; state: string } | null
  because?: { kind: string; signal?: string | null; exit?: number | null } | null
}

/** A piece of a sentence; `strong` ones are names. */
export interface Piece {
  text: string
  strong?: boolean
  time?: string
}

const plain = (text: string): Piece => ({ text })
const strong = (text: string): Piece => ({ text, strong: true })
const at = (time: string): Piece => ({ text: '', time })

/**
 * Return the sentence of one lost attempt of a step, or null if it was not lost.
 *
 * A death is named only where the worker reported its child's exit: nobody recorded when a silent
 * worker died.
 */
export function crashStory(
  step: { name: string; status: string; attempts: CrashAttempt[] },
  number: number,
): Piece[] | null {
  const index = step.attempts.findIndex((attempt) => attempt.number === number)
  const lost = step.attempts[index]
  if (lost?.state !== 'lost' || !lost.claimed_at) return null
  const story = [...lossOf(lost, step.name), ...followedBy(step, index)]
  if (lost.late) {
    story.push(
      plain(' Its result came at '),
      at(lost.late.at),
      plain(', too late, and was refused.'),
    )
  }
  return story
}

function lossOf(lost: CrashAttempt, name: string): Piece[] {
  const worker = strong(lost.worker ?? 'a worker')
  const taken = [worker, plain(` took ${name} at `), at(lost.claimed_at ?? '')]
  const end = lost.ended_at ? at(lost.ended_at) : plain('a time not recorded')
  if (lost.because?.kind === 'child-exit') {
    const signal = lost.because.signal ?? `exit ${lost.because.exit ?? 'unknown'}`
    const process = lost.process ? `process ${lost.process}` : 'process'
    return [...taken, plain(`. The ${process} of `), worker, plain(` died (${signal}) at `), end]
  }
  return [...taken, plain(' and was not heard of again. Its lease ended at '), end]
}

function followedBy(step: { status: string; attempts: CrashAttempt[] }, index: number): Piece[] {
  const next = step.attempts.slice(index + 1).find((each) => each.worker !== null)
  if (!next) return [plain('.')]
  const verb = {
    succeeded: 'then finished the step',
    failed: 'then tried the step and failed',
    lost: 'then took the step',
    claimed: 'now runs the step',
    withdrawn: 'then took the step',
  }[next.state]
  const words = ` ${verb ?? 'then took the step'} as attempt ${next.number}, under the same idempotency key.`
  return [plain('; '), strong(next.worker ?? ''), plain(words)]
}

/** The sentence as plain text, for tests and for screen readers. */
export const said = (story: Piece[], time: (text: string) => string): string =>
  story.map((piece) => (piece.time === undefined ? piece.text : time(piece.time))).join('')
