/** Numbers and sizes as people read them. */

export const count = (n: number): string => n.toLocaleString('en-US')

/** `1 step`, `2 steps`. */
export const counted = (n: number, one: string, many = `${one}s`): string =>
  `${count(n)} ${n === 1 ? one : many}`

export function bytes(n: number): string {
  if (n < 1000) return `${n} B`
  if (n < 1_000_000) return `${(n / 1000).toFixed(n < 10_000 ? 1 : 0)} kB`
  return `${(n / 1_000_000).toFixed(1)} MB`
}

/** Keep the beginning and the last `tail` characters of a long text. */
export function cut(text: string, most: number, tail = 8): string {
  const letters = [...text]
  if (letters.length <= most) return text
  return `${letters.slice(0, Math.max(1, most - tail - 1)).join('')}…${letters.slice(-tail).join('')}`
}
