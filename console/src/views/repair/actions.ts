/** What a person can do with an instance, and when. The server decides; this only offers. */

import type { IconName } from '../../ui/icons'
import type { Tone } from '../../words/states'

export type ActionName =
  | 'retry'
  | 'skip'
  | 'suspend'
  | 'resume'
  | 'cancel'
  | 'compensate'
  | 'terminate'
  | 'retry-now'
  | 'letter-retry'
  | 'letter-resolve'

export interface Action {
  name: ActionName
  text: string
  /** What the confirming button says. */
  confirm: string
  icon: IconName
  tone: Tone
  key?: string
  danger?: boolean
}

export const ACTIONS: Record<ActionName, Action> = {
  retry: { name: 'retry', text: 'Retry', confirm: 'Retry', icon: 'retry', tone: 'retry', key: 'r' },
  skip: { name: 'skip', text: 'Skip', confirm: 'Skip', icon: 'skip', tone: 'pending', key: 'k' },
  suspend: {
    name: 'suspend',
    text: 'Suspend',
    confirm: 'Suspend',
    icon: 'pause',
    tone: 'suspended',
    key: 'p',
  },
  resume: {
    name: 'resume',
    text: 'Resume',
    confirm: 'Resume',
    icon: 'play',
    tone: 'running',
    key: 'p',
  },
  cancel: {
    name: 'cancel',
    text: 'Cancel and undo',
    confirm: 'Cancel and undo',
    icon: 'undo',
    tone: 'undo',
    key: 'c',
    danger: true,
  },
  compensate: {
    name: 'compensate',
    text: 'Compensate',
    confirm: 'Compensate',
    icon: 'undo',
    tone: 'undo',
    key: 'u',
    danger: true,
  },
  terminate: {
    name: 'terminate',
    text: 'Terminate without undo',
    confirm: 'Terminate',
    icon: 'cancelled',
    tone: 'faulted',
    danger: true,
  },
  'retry-now': {
    name: 'retry-now',
    text: 'Try again now',
    confirm: 'Try again now',
    icon: 'retry',
    tone: 'retry',
  },
  'letter-retry': {
    name: 'letter-retry',
    text: 'Try again',
    confirm: 'Try again',
    icon: 'retry',
    tone: 'retry',
  },
  'letter-resolve': {
    name: 'letter-resolve',
    text: 'Resolve by hand',
    confirm: 'Resolve',
    icon: 'check',
    tone: 'completed',
  },
}

export const isAction = (name: string): name is ActionName => Object.hasOwn(ACTIONS, name)

interface Standing {
  status: string
  compensation: string
}

/** The actions to offer for an instance, the likeliest first. */
export function actionsFor(
  { status, compensation }: Standing,
  steps: { status: string; compensates: number | null }[],
): Action[] {
  const names: ActionName[] = []
  const waits = steps.some((step) => step.status === 'waiting' && step.compensates === null)
  if (status === 'faulted' && compensation === 'none') names.push('retry', 'skip', 'compensate')
  else if (status === 'cancelled' && compensation === 'none') names.push('retry', 'compensate')
  else if (status === 'completed' && compensation === 'none') names.push('compensate')
  else if (status === 'suspended') names.push('resume', 'cancel', 'terminate')
  else if (['pending', 'running', 'waiting'].includes(status)) {
    names.push('suspend', 'cancel', ...(waits ? (['skip'] as const) : []), 'terminate')
  }
  return names.map((name) => ACTIONS[name])
}
