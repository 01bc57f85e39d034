/** What of an instance's page is in its address. */

import type { ActionName } from '../repair/actions'
import { isAction } from '../repair/actions'
import type { Only } from './model'

export type Tab = 'timeline' | 'history' | 'data' | 'events' | 'undo'

export interface InstanceSearch {
  tab?: Tab
  step?: number
  /** The JSON pointer of a task that no step has reached. */
  task?: string
  order?: boolean
  /** `from-to`, in ms since 1970. */
  range?: string
  only?: Only
  find?: string
  act?: ActionName
  on?: number
}

const TABS: Tab[] = ['timeline', 'history', 'data', 'events', 'undo']
const ONLY: Only[] = ['standout', 'running', 'retried', 'faulted', 'all']

export function validInstanceSearch(given: Record<string, unknown>): InstanceSearch {
  const text = (name: string): string | undefined =>
    typeof given[name] === 'string' && given[name] !== '' ? (given[name] as string) : undefined
  const number = (name: string): number | undefined => {
    const value = Number(given[name])
    return given[name] !== undefined && Number.isSafeInteger(value) && value > 0 ? value : undefined
  }
  const act = text('act')
  const order = given.order === true || given.order === 'true'
  return {
    tab: TABS.find((each) => each === given.tab),
    step: number('step'),
    task: text('task'),
    order: order || undefined,
    range: /^\d+(\.\d+)?-\d+(\.\d+)?$/.test(text('range') ?? '') ? text('range') : undefined,
    only: ONLY.find((each) => each === given.only),
    find: text('find')?.slice(0, 200),
    act: act && isAction(act) ? act : undefined,
    on: number('on'),
  }
}
