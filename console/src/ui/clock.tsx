/** Times that tick by the server's clock: one timer for the whole page. */

import { useSyncExternalStore } from 'react'
import { serverNow } from '../api/serverClock'
import {
  age,
  clock,
  full,
  micros,
  moment,
  relative,
  type TimeStyle,
  withTimes,
} from '../words/time'
import { usePreferences } from './preferences'

const listeners = new Set<() => void>()
let now = serverNow()
let timer: ReturnType<typeof setInterval> | undefined

function tick(): void {
  if (document.hidden) return
  now = serverNow()
  for (const listener of listeners) listener()
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  timer ??= setInterval(tick, 1000)
  return () => {
    listeners.delete(listener)
    if (listeners.size) return
    clearInterval(timer)
    timer = undefined
  }
}

/** The server's time in ms, new each second. */
export const useNow = (): number => useSyncExternalStore(subscribe, () => now)

/** A time as the reader wants to see it. */
export function Time({ at, fraction }: { at: string; fraction?: boolean }) {
  const { times } = usePreferences()
  const time = micros(at)
  if (times === 'relative' && !fraction) return <Relative at={at} />
  return (
    <time dateTime={at} title={full(at)} className="num">
      <Exact time={time} style={times} fraction={fraction} />
    </time>
  )
}

function Exact({ time, style, fraction }: { time: number; style: TimeStyle; fraction?: boolean }) {
  const current = useNow()
  const zone = style === 'local' ? 'local' : 'utc'
  if (fraction) return clock(time, zone, true)
  return moment(time, current, zone)
}

function Relative({ at }: { at: string }) {
  const current = useNow()
  return (
    <time dateTime={at} title={full(at)} className="num">
      {relative(micros(at), current)}
    </time>
  )
}

/** A time of day with its age beside it: `20:38:42, 9 min ago`. */
export function TimeAndAge({ at }: { at: string }) {
  const { times } = usePreferences()
  const current = useNow()
  const time = micros(at)
  const zone = times === 'local' ? 'local' : 'utc'
  return (
    <time dateTime={at} title={full(at)} className="num">
      {moment(time, current, zone)}, {relative(time, current)}
    </time>
  )
}

/** An age, such as `7 min`. */
export function Age({ since }: { since: string }) {
  const current = useNow()
  return (
    <time dateTime={since} title={full(since)} className="num">
      {age(current - micros(since))}
    </time>
  )
}

/** How long until a time, such as `in 3 min`. */
export function Until({ at }: { at: string }) {
  return <Relative at={at} />
}

/** A sentence of the server; its times are told as the reader wants them. */
export function Told({ text }: { text: string }) {
  const { times } = usePreferences()
  const current = useNow()
  return withTimes(text, current, times === 'local' ? 'local' : 'utc')
}
