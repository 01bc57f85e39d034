/**
 * What an action will do, in lines.
 *
 * The server's dry run says it where there is one. Otherwise only what is certain is derived from
 * the steps and from the list of what would be undone.
 */

import type { Compensation, DryRun, Step } from '../../api/types'
import type { ActionName } from './actions'

export type LineKind = 'keeps' | 'runs' | 'after' | 'undoes' | 'ends' | 'warns' | 'pauses'

export interface Line {
  kind: LineKind
  name?: string
  text: string
}

export interface PlanSource {
  action: ActionName
  steps: Step[]
  on: Step | null
  /** Names of tasks that stand after the step in the document and have not run. */
  after: string[]
  compensation: Compensation | null
  dryRun: DryRun | null
}

export function plan(source: PlanSource): Line[] {
  return source.dryRun ? ofDryRun(source.dryRun, source.action) : derived(source)
}

const MOST = 12

function ofDryRun(run: DryRun, action: ActionName): Line[] {
  const lines: Line[] = []
  const undoing = action === 'cancel' || action === 'compensate' || action === 'terminate'
  const text = undoing ? 'stays as it is: nothing undoes it' : 'is kept: its output is used again'
  const keeps = run.keeps ?? []
  for (const each of keeps.slice(0, MOST)) {
    lines.push({ kind: 'keeps', name: each.name, text })
  }
  if (keeps.length > MOST) {
    lines.push({ kind: 'keeps', text: `${keeps.length - MOST} more steps are kept` })
  }
  for (const each of (run.runs ?? []).slice(0, MOST)) {
    lines.push({ kind: 'runs', name: each.name, text: each.note ?? 'runs' })
  }
  const undoes = run.undoes ?? []
  for (const each of undoes.slice(0, MOST)) {
    lines.push({ kind: 'undoes', name: each.name, text: 'is undone' })
  }
  if (undoes.length > MOST) {
    lines.push({ kind: 'undoes', text: `${undoes.length - MOST} more steps are undone` })
  }
  if (!undoes.length) lines.push({ kind: 'undoes', name: 'Nothing', text: 'is undone' })
  for (const text of run.warnings ?? []) lines.push({ kind: 'warns', text })
  return lines
}

function derived(source: PlanSource): Line[] {
  switch (source.action) {
    case 'retry':
      return retried(source, 'runs again, as a new step with a new idempotency key')
    case 'skip':
      return retried(source, 'ends with the output given here, and does not run')
    case 'cancel':
    case 'compensate':
      return undone(source)
    case 'suspend':
      return [
        { kind: 'pauses', text: 'Steps that run now are finished' },
        { kind: 'pauses', text: 'No other step starts until it is resumed' },
      ]
    case 'resume':
      return [{ kind: 'runs', text: 'It goes on where it stopped' }]
    case 'terminate':
      return [
        { kind: 'ends', text: 'It ends now, as cancelled; running tasks are withdrawn' },
        { kind: 'undoes', name: 'Nothing', text: 'is undone' },
      ]
    case 'retry-now':
      return [{ kind: 'runs', name: source.on?.name, text: 'is tried again now, not at its time' }]
    case 'letter-retry':
      return [{ kind: 'runs', name: source.on?.name, text: 'runs once more' }]
    case 'letter-resolve':
      return [
        { kind: 'ends', name: source.on?.name, text: 'counts as done: a person did it otherwise' },
      ]
  }
}

function retried({ action, steps, on, after }: PlanSource, words: string): Line[] {
  const target = on ?? null
  const lines: Line[] = []
  const done = steps.filter(
    (step) =>
      step.status === 'completed' && step.compensates === null && (!target || step.id < target.id),
  )
  for (const step of done.slice(0, MOST)) {
    lines.push({ kind: 'keeps', name: step.name, text: 'is kept: its output is used again' })
  }
  if (done.length > MOST) lines.push({ kind: 'keeps', text: `${done.length - MOST} more are kept` })
  lines.push({ kind: 'runs', name: target?.name ?? 'The step that failed', text: words })
  for (const name of after.slice(0, 4)) lines.push({ kind: 'after', name, text: 'runs after it' })
  if (after.length > 4) lines.push({ kind: 'after', text: `${after.length - 4} more run after it` })
  if (action === 'retry') lines.push({ kind: 'undoes', name: 'Nothing', text: 'is undone' })
  return lines
}

function undone({ action, compensation, on, steps }: PlanSource): Line[] {
  const lines: Line[] = []
  if (action === 'cancel')
    lines.push({ kind: 'ends', text: 'Open steps are stopped; it ends as cancelled' })
  if (!compensation) return lines
  const until = action === 'compensate' && on ? on.id : 0
  const planned = compensation.plan.filter((each) => each.step > until)
  for (const [at, each] of planned.slice(0, MOST).entries()) {
    const whole = each.instance ? ', with its sub-workflow' : ''
    lines.push({
      kind: 'undoes',
      name: each.name,
      text: `is undone${whole}${at === 0 ? ', the last first' : ''}`,
    })
  }
  if (planned.length > MOST)
    lines.push({ kind: 'undoes', text: `${planned.length - MOST} more are undone` })
  for (const each of compensation.running) {
    lines.push({
      kind: 'undoes',
      name: each.name,
      text: 'still runs, and is undone if it succeeds',
    })
  }
  if (!planned.length && !compensation.running.length) {
    lines.push({ kind: 'undoes', name: 'Nothing', text: 'has a compensation to undo it' })
  }
  const kept = steps.filter((step) => until > 0 && step.id <= until && step.status === 'completed')
  if (kept.length) lines.push({ kind: 'keeps', text: `${kept.length} steps before are kept` })
  return lines
}
