/** The server's time, from the `Date` of its answers: browsers' clocks are wrong by minutes. */

let offset: number | null = null

/** Take up the `Date` header of an answer. It has whole seconds, so the middle one is meant. */
export function heard(date: string | null, here: number = Date.now()): void {
  const there = date === null ? Number.NaN : Date.parse(date)
  if (Number.isNaN(there)) return
  const difference = there + 500 - here
  // Within a second both clocks agree as far as the header can say.
  const close = Math.abs(difference) < 1500 ? 0 : difference
  offset = offset === null || Math.abs(offset - close) > 1500 ? close : offset
}

export const serverNow = (here: number = Date.now()): number => here + (offset ?? 0)
