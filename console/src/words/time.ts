/** Times in words. Every function takes the present as an argument; `ui/clock` has the server's. */

export type TimeStyle = 'relative' | 'utc' | 'local'

/** Milliseconds since 1970 of an RFC 3339 time, with its microseconds as the fraction. */
export function micros(text: string): number {
  const whole = Date.parse(text)
  const fraction = /\.\d{3}(\d{1,3})/.exec(text)?.[1]
  return fraction ? whole + Number(`0.${fraction}`) : whole
}

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** A length of time with three figures at most: `26 ms`, `2.30 s`, `7 min`, `3 h 52 min`. */
export function span(ms: number): string {
  const length = Math.max(0, ms)
  if (length < SECOND) return `${Math.round(length)} ms`
  if (length < 9.995 * SECOND) return `${(length / SECOND).toFixed(2)} s`
  if (length < 59.95 * SECOND) return `${(length / SECOND).toFixed(1)} s`
  if (length < HOUR) return two(length, MINUTE, 'min', SECOND, 's')
  if (length < DAY) return two(length, HOUR, 'h', MINUTE, 'min')
  return two(length, DAY, 'd', HOUR, 'h')
}

function two(ms: number, unit: number, name: string, small: number, smallName: string): string {
  let whole = Math.floor(ms / unit)
  let rest = Math.round((ms - whole * unit) / small)
  if (rest * small >= unit) {
    whole += 1
    rest = 0
  }
  return rest ? `${whole} ${name} ${rest} ${smallName}` : `${whole} ${name}`
}

/** A mark on an axis: without zeros at its end. */
export const tick = (ms: number): string =>
  span(ms)
    .replace(/(\.\d*?)0+ /, '$1 ')
    .replace('. ', ' ')

/** An age with one unit: `40 s`, `7 min`, `5 h`, `3 d`. */
export function age(ms: number): string {
  const length = Math.max(0, ms)
  if (length < MINUTE) return `${Math.floor(length / SECOND)} s`
  if (length < HOUR) return `${Math.floor(length / MINUTE)} min`
  if (length < 2 * DAY) return `${Math.floor(length / HOUR)} h`
  return `${Math.floor(length / DAY)} d`
}

/** `7 min ago`, `in 2 min`. */
export function relative(time: number, now: number): string {
  const difference = time - now
  if (Math.abs(difference) < SECOND) return 'now'
  return difference > 0 ? `in ${age(difference)}` : `${age(-difference)} ago`
}

interface Parts {
  year: number
  month: number
  day: number
  hour: number
  minute: number
  second: number
  ms: number
}

function parts(time: number, style: TimeStyle): Parts {
  const at = new Date(time)
  return style === 'local'
    ? {
        year: at.getFullYear(),
        month: at.getMonth(),
        day: at.getDate(),
        hour: at.getHours(),
        minute: at.getMinutes(),
        second: at.getSeconds(),
        ms: at.getMilliseconds(),
      }
    : {
        year: at.getUTCFullYear(),
        month: at.getUTCMonth(),
        day: at.getUTCDate(),
        hour: at.getUTCHours(),
        minute: at.getUTCMinutes(),
        second: at.getUTCSeconds(),
        ms: at.getUTCMilliseconds(),
      }
}

const pad = (n: number, width = 2): string => String(n).padStart(width, '0')

/** The time of day: `20:38:42`, with `fraction` `20:38:42.145`. */
export function clock(time: number, style: TimeStyle, fraction = false): string {
  const { hour, minute, second, ms } = parts(time, style)
  const text = `${pad(hour)}:${pad(minute)}:${pad(second)}`
  return fraction ? `${text}.${pad(ms, 3)}` : text
}

/** A date and time without what is the same today: `20:38:42`, `tomorrow 02:15:00`. */
export function moment(time: number, now: number, style: TimeStyle): string {
  const day = dayNumber(time, style) - dayNumber(now, style)
  const at = clock(time, style)
  if (day === 0) return at
  if (day === 1) return `tomorrow ${at}`
  if (day === -1) return `yesterday ${at}`
  const { year, month, day: date } = parts(time, style)
  return `${year}-${pad(month + 1)}-${pad(date)} ${at}`
}

const WRITTEN = /\b(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC\b/g

/** A sentence whose times (`2026-11-30 13:23:09 UTC`) are told without what is the same today. */
export const withTimes = (text: string, now: number, style: TimeStyle): string =>
  text.replace(WRITTEN, (_, date: string, at: string) =>
    moment(Date.parse(`${date}T${at}Z`), now, style),
  )

function dayNumber(time: number, style: TimeStyle): number {
  const { year, month, day } = parts(time, style)
  return Math.floor(Date.UTC(year, month, day) / DAY)
}

/** A time in full, for a tip: as the server wrote it, and in the zone of the browser. */
export function full(text: string): string {
  const local = new Date(text).toLocaleString('sv-SE', { timeZoneName: 'short' })
  return `${text}\n${local}`
}
