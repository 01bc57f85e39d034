/** When a schedule fires, in words. */

import { span } from '../../words/time'

/** `timing` as the API gives it: durations are seconds. */
export function timingWords(kind: string, timing: unknown): string {
  const value = unwrap(kind, timing)
  if (kind === 'every') return `every ${lengthOf(value)}`
  if (kind === 'after') return `${lengthOf(value)} after the last one ended`
  if (kind === 'cron') return cronWords(text(value))
  if (kind === 'on') return 'on an event'
  return kind
}

/** The same as it stands in a document. */
export function timingSource(kind: string, timing: unknown): string {
  const value = unwrap(kind, timing)
  if (kind === 'cron') return `cron: ${text(value)}`
  if (typeof value === 'number') return `${kind}: PT${value}S`
  return kind
}

/** The value itself, or the member that has the kind's name. */
function unwrap(kind: string, timing: unknown): unknown {
  if (typeof timing !== 'object' || timing === null) return timing
  const members = timing as Record<string, unknown>
  return members[kind] ?? members.seconds ?? members.expression ?? timing
}

function lengthOf(value: unknown): string {
  if (typeof value === 'number') return span(value * 1000)
  return text(value) || 'some time'
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '')

/** The commonest crons in words; the others as they are. */
function cronWords(cron: string): string {
  const daily = /^(\d{1,2}) (\d{1,2}) \* \* \*$/.exec(cron)
  if (daily) return `every day at ${pad(daily[2])}:${pad(daily[1])}`
  const hourly = /^(\d{1,2}) \* \* \* \*$/.exec(cron)
  if (hourly) return `every hour at :${pad(hourly[1])}`
  return `cron ${cron}`
}

const pad = (n: string | undefined): string => (n ?? '').padStart(2, '0')
