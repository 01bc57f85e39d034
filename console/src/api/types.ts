/**
 * Shapes of the API.
 *
 * The generated ones come from /openapi.json. `Partial` additions are what this release's server
 * may not send: a view shows them where they are and leaves them out where they are not.
 */

import type { components } from './schema'

type Schemas = components['schemas']

export type Summary = Schemas['ListedInstance']
export type Instance = Schemas['Instance']
/** An attempt; what its task wrote is only in a step that was read by itself. */
export type Attempt = Schemas['AttemptSummary'] &
  Partial<Pick<Schemas['Attempt'], 'progress' | 'traceback' | 'flower_url'>>
/** A step; its payloads are only in a step that was read by itself. */
export type Step = Omit<Schemas['StepSummary'], 'attempts'> & {
  attempts: Attempt[]
  arguments?: unknown
  input?: unknown
  output?: unknown
}
export type Transition = Schemas['Transition']
export type PlannedUndo = Schemas['PlannedUndo']
export type Compensation = Omit<Schemas['Compensation'], 'undone'> & { undone: Step[] }
export type DeadLetter = Schemas['DeadLetter'] & {
  business_id?: string | null
  workflow?: { namespace: string; name: string; version: string }
}
export type Operation = Schemas['Operation']
export type OperationDetails = Schemas['OperationDetails']
export type Outcome = Schemas['Outcome']
export type EventPlan = Schemas['EventPlan']
export type Workflow = Schemas['ListedWorkflow']
export type Version = Schemas['Version']
export type WorkflowVersion = Schemas['Workflow']
export type Listener = Schemas['Listener'] & {
  business_id?: string | null
  workflow?: { namespace: string; name: string; version: string }
  gives_up_at?: string | null
}
export type ReceivedEvent = Schemas['EventSummary']
export type Worker = Schemas['Worker']
export type Queue = Schemas['Queue']
export type Subscription = Schemas['Subscription']
export type Delivery = Schemas['Delivery']
export type AuditEntry = Schemas['Entry']
export type Namespace = Schemas['Namespace']

export interface Page<T> {
  items: T[]
  next: string | null
}

export type Facet = Schemas['Facet']
export type Counts = Schemas['Counts']

export interface Me {
  name: string
  role: 'viewer' | 'operator' | 'admin'
  namespaces: string[] | null
  authentication: 'off' | 'key' | 'session'
  expires_at?: string | null
  version?: string
  links?: { logs?: string | null; traces?: string | null; flower?: string | null }
}

export interface DryRun {
  keeps?: { step: number; name: string; reference?: string }[]
  runs?: { step: number | null; name: string; reference?: string; note?: string }[]
  undoes?: { step: number; name: string; reference?: string; instance?: string | null }[]
  becomes?: { status: string; compensation: string; run: number }
  warnings?: string[]
}

export interface Finding {
  kind: string
  severity: 'error' | 'warning' | 'note'
  message: string
  advice: string | null
  instance: string | null
  business_id: string | null
  step: number | null
}

export interface Doctor {
  checked_at: string
  findings: Finding[]
  passed: { kind: string; message: string }[]
}

export interface TaskStatistics {
  reference: string
  name: string
  kind: string
  here: Record<string, number>
  passed: number
  faulted: number
  retried: number
  p50_ms: number | null
  p95_ms: number | null
  total_ms: number
}

export interface Statistics {
  since: string
  until: string
  started: number
  completed: number
  waiting: number
  faulted: number
  cancelled?: number
  undone: number
  median_ms: number | null
  tasks: TaskStatistics[]
}

/** One change of an instance, as the live feed sends it. */
export interface Change {
  instance: string
  sequence: number
  status: string
  compensation: string
  namespace: string
}
