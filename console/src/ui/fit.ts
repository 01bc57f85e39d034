/** Text cut to a width, estimated without a DOM: narrow, usual and wide letters of a sans font. */

const NARROW = /[iljtfrI.,:;'|!()[\]{} ]/
const WIDE = /[mwMWA-Z@%&_]/

function width(letter: string, size: number): number {
  const code = letter.codePointAt(0) ?? 0
  if (code > 0x2e7f) return size
  if (NARROW.test(letter)) return size * 0.34
  if (WIDE.test(letter)) return size * 0.74
  return size * 0.57
}

export function fitted(text: string, most: number, size = 12): string {
  let used = 0
  const letters = [...text]
  for (const [at, letter] of letters.entries()) {
    used += width(letter, size)
    if (used > most) return `${letters.slice(0, Math.max(1, at - 1)).join('')}…`
  }
  return text
}
