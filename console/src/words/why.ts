/** Why an instance stands where it stands: order and tone of its causes. */

export type CauseTone = 'calm' | 'soon' | 'alarm'

export interface Cause {
  kind: string
  message: string
  step?: number | null
  reference?: string | null
  since?: string | null
  until?: string | null
  queue?: string
  worker?: string
  instance?: string
  dead_letter?: string
  meant?: string
  tone?: CauseTone
  command?: string
}

const ALARMS = new Set([
  'no-worker',
  'no-task',
  'no-processes',
  'no-control',
  'stuck',
  'no-beat',
  'broker',
  'engine',
  'dead-letter',
])
const SOON = new Set([
  'retry',
  'compensating',
  'inbox',
  'unpublished',
  'delivery',
  'withdrawn',
  'no-slot',
  'silent-worker',
  'lease',
])

const SECOND = 1000
/** Causes that are an alarm once they have lasted this long, in ms. */
const PATIENCE: Record<string, number> = {
  inbox: 15 * SECOND,
  unpublished: 15 * SECOND,
  delivery: 15 * SECOND,
  'no-slot': 300 * SECOND,
}

/** The server's tone, or the one that the kind and the age of the cause give. */
export function tone(cause: Cause, now: number): CauseTone {
  if (cause.tone) return cause.tone
  if (ALARMS.has(cause.kind)) return 'alarm'
  if (!SOON.has(cause.kind)) return 'calm'
  const patience = PATIENCE[cause.kind]
  const lasted = cause.since ? now - Date.parse(cause.since) : 0
  return patience !== undefined && lasted > patience ? 'alarm' : 'soon'
}

const WORST: CauseTone[] = ['alarm', 'soon', 'calm']

/** The causes, the worst first, then the oldest. */
export function ordered(causes: Cause[], now: number): Cause[] {
  const key = (cause: Cause): number => WORST.indexOf(tone(cause, now))
  const since = (cause: Cause): string => cause.since ?? '9'
  return [...causes].sort((a, b) => key(a) - key(b) || (since(a) < since(b) ? -1 : 1))
}

/** A message as a sentence of its own: with a capital letter, without a full stop. */
export function sentence(message: string): string {
  const first = message.charAt(0)
  return first.toUpperCase() + message.slice(1)
}

/** The part of an error that a line has room for. */
export interface ErrorValue {
  type?: string
  title?: string
  detail?: string
  status?: number
}

export function asError(value: unknown): ErrorValue | null {
  return typeof value === 'object' && value !== null ? (value as ErrorValue) : null
}

/** The last part of an error's type, which is a URI: `runtime`, `card-stolen`. */
export const errorKind = (type: string | undefined): string =>
  type?.replace(/\/+$/, '').split('/').at(-1) ?? ''

/** `CardDeclined: card nearly-empty`, as far as the error says it. */
export function errorLine(error: ErrorValue | null): string {
  if (!error) return ''
  const title = error.title ?? errorKind(error.type)
  return [title, error.detail].filter(Boolean).join(': ') || 'an error without words'
}
