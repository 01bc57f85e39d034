/** An action as the request that it is: its path, body, and the same as a command line. */

import type { DeadLetter, Instance, Step } from '../../api/types'
import { cli, curl, type Option } from '../../words/shell'
import type { ActionName } from './actions'

export interface Given {
  reason: string
  /** The edited input of the step or workflow, the output of a skipped step. */
  input?: unknown
  workflowInput?: unknown
  output?: unknown
}

export interface Request {
  path: string
  body: Record<string, unknown>
  /** Null where the command line can't do it. */
  cli: string | null
  curl: string
  /** It heeds If-Match. */
  tagged: boolean
  /** It can be asked what would happen. The other requests would be carried out. */
  hasDryRun: boolean
}

export function requestOf(
  action: ActionName,
  instance: Instance,
  on: Step | null,
  letter: DeadLetter | null,
  given: Given,
  etag: string | null,
): Request | null {
  const reason = given.reason.trim() || undefined
  const path = pathOf(action, instance, on, letter)
  if (path === null) return null
  const body = bodyOf(action, on, given, reason)
  const tagged = !action.startsWith('letter-')
  const headers = tagged && etag ? { 'if-match': etag } : undefined
  return {
    path,
    body,
    tagged,
    hasDryRun: tagged && action !== 'retry-now',
    cli: commandOf(action, instance, on, letter, given, reason),
    curl: curl('POST', path, body, headers),
  }
}

function pathOf(
  action: ActionName,
  instance: Instance,
  on: Step | null,
  letter: DeadLetter | null,
): string | null {
  if (action === 'letter-retry') return letter && `/v1/dead-letters/${letter.id}/retry`
  if (action === 'letter-resolve') return letter && `/v1/dead-letters/${letter.id}/resolve`
  if (action === 'retry-now') return on && `/v1/instances/${instance.id}/steps/${on.id}/retry-now`
  return `/v1/instances/${instance.id}/${action}`
}

function bodyOf(
  action: ActionName,
  on: Step | null,
  given: Given,
  reason: string | undefined,
): Record<string, unknown> {
  const body: Record<string, unknown> = {}
  if (action === 'retry' && on) body.from = on.id
  if ((action === 'skip' || action === 'compensate') && on) body.step = on.id
  if (action === 'retry' && given.input !== undefined) body.input = given.input
  if (action === 'retry' && given.workflowInput !== undefined) {
    body.workflow_input = given.workflowInput
  }
  if (action === 'skip' && given.output !== undefined) body.output = given.output
  if (reason) body.reason = reason
  return body
}

function commandOf(
  action: ActionName,
  instance: Instance,
  on: Step | null,
  letter: DeadLetter | null,
  given: Given,
  reason: string | undefined,
): string | null {
  const why: Option = ['reason', reason]
  const json = (value: unknown) => (value === undefined ? undefined : JSON.stringify(value))
  const { id } = instance
  switch (action) {
    case 'retry':
      return cli(
        'retry',
        [id],
        [
          ['from', on ? String(on.id) : undefined],
          ['input', json(given.input)],
          ['workflow-input', json(given.workflowInput)],
          why,
        ],
      )
    case 'skip':
      return cli('skip', [id, String(on?.id ?? '')], [['data', json(given.output)], why])
    case 'compensate':
      return cli('compensate', [id], [['to', on ? String(on.id) : undefined], why])
    case 'letter-retry':
      return cli('dead-letter retry', [letter?.id ?? ''], [why])
    case 'letter-resolve':
      return cli('dead-letter resolve', [letter?.id ?? ''], [why])
    case 'retry-now':
      return null
    default:
      return cli(action, [id], [why])
  }
}
