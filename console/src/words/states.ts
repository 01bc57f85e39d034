/** The word, icon and colour of every state. A state is always at least an icon and a word. */

export type Tone =
  | 'pending'
  | 'running'
  | 'waiting'
  | 'suspended'
  | 'cancelled'
  | 'faulted'
  | 'completed'
  | 'undo'
  | 'retry'

export interface State {
  word: string
  icon: StateIcon
  tone: Tone
}

export type StateIcon =
  | 'pending'
  | 'running'
  | 'waiting'
  | 'suspended'
  | 'cancelled'
  | 'faulted'
  | 'completed'
  | 'undo'
  | 'undone'
  | 'lost'
  | 'withdrawn'
  | 'late'
  | 'unknown'
  | 'stuck'
  | 'retry'
  | 'inbox'

const state = (word: string, icon: StateIcon, tone: Tone): State => ({ word, icon, tone })

/** Of instances and steps. */
export const STATUS: Record<string, State> = {
  pending: state('Pending', 'pending', 'pending'),
  running: state('Running', 'running', 'running'),
  waiting: state('Waiting', 'waiting', 'waiting'),
  suspended: state('Suspended', 'suspended', 'suspended'),
  cancelled: state('Cancelled', 'cancelled', 'cancelled'),
  faulted: state('Faulted', 'faulted', 'faulted'),
  completed: state('Completed', 'completed', 'completed'),
}

export const COMPENSATION: Record<string, State> = {
  running: state('Undoing', 'undo', 'undo'),
  completed: state('Undone', 'undone', 'undo'),
  failed: state('Undo failed', 'undo', 'faulted'),
}

export const ATTEMPT: Record<string, State> = {
  ready: state('Queued', 'pending', 'pending'),
  claimed: state('Running', 'running', 'running'),
  succeeded: state('Succeeded', 'completed', 'completed'),
  failed: state('Failed', 'faulted', 'faulted'),
  lost: state('Lost', 'lost', 'retry'),
  withdrawn: state('Withdrawn', 'withdrawn', 'cancelled'),
}

export const LATE = state('Too late', 'late', 'retry')
export const UNKNOWN = state('Unknown', 'unknown', 'retry')
export const STUCK = state('Stuck', 'stuck', 'retry')
export const RETRYING = state('Retrying', 'retry', 'retry')

/** What needs a look, as the filter `attention` names it. */
export const ATTENTION: Record<string, State> = {
  stuck: STUCK,
  retrying: RETRYING,
  outcome_unknown: state('Outcome unknown', 'unknown', 'retry'),
  dead_letter: state('Dead letter', 'inbox', 'faulted'),
  held: state('Faulted, held', 'faulted', 'faulted'),
}

export const WAITING_FOR: Record<string, { word: string; icon: string }> = {
  event: { word: 'Event', icon: 'listen' },
  retry: { word: 'Retry', icon: 'retry' },
  timer: { word: 'Time', icon: 'wait' },
  task: { word: 'Task', icon: 'call' },
  workflow: { word: 'Sub-workflow', icon: 'run' },
}

const NOBODY = state('Unknown', 'unknown', 'pending')
export const status = (name: string): State => STATUS[name] ?? { ...NOBODY, word: name }
export const attempt = (name: string): State => ATTEMPT[name] ?? { ...NOBODY, word: name }

export interface Standing {
  status: string
  compensation: string
  why?: { kind: string; tone?: string } | null
}

/** What a list shows of an instance: a derived state leads, its status stands under it. */
export function standing(instance: Standing): { first: State; second: State | null } {
  const own = status(instance.status)
  const open = !['completed', 'faulted', 'cancelled'].includes(instance.status)
  const undo = COMPENSATION[instance.compensation]
  if (open && instance.why?.tone === 'alarm') return { first: STUCK, second: own }
  if (open && instance.why?.kind === 'retry') return { first: RETRYING, second: own }
  return { first: own, second: undo ?? null }
}
