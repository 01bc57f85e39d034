/** The difference of two values as lines: unified, changed ones with three around. */

export interface DiffLine {
  kind: 'same' | 'added' | 'removed' | 'gap'
  before?: number
  after?: number
  text: string
}

const AROUND = 3
/** Longer texts are compared by their ends only: the table of the comparison grows by the square. */
const MOST = 2000

/** Members are sorted, so that their order makes no difference. */
export const jsonLines = (value: unknown): string[] =>
  (JSON.stringify(sorted(value), null, 2) ?? 'null').split('\n')

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return Object.fromEntries(entries.map(([name, each]) => [name, sorted(each)]))
}

export const jsonDiff = (before: unknown, after: unknown): DiffLine[] =>
  lineDiff(jsonLines(before), jsonLines(after))

export function lineDiff(before: string[], after: string[]): DiffLine[] {
  let start = 0
  while (start < before.length && start < after.length && before[start] === after[start]) start += 1
  let end = 0
  while (
    end < before.length - start &&
    end < after.length - start &&
    before[before.length - 1 - end] === after[after.length - 1 - end]
  ) {
    end += 1
  }
  const middle = compared(
    before.slice(start, before.length - end),
    after.slice(start, after.length - end),
  )
  const lines: DiffLine[] = []
  let [b, a] = [0, 0]
  const same = (text: string) => lines.push({ kind: 'same', before: ++b, after: ++a, text })
  for (const text of before.slice(0, start)) same(text)
  for (const [kind, text] of middle) {
    if (kind === 'same') same(text)
    else if (kind === 'removed') lines.push({ kind, before: ++b, text })
    else lines.push({ kind, after: ++a, text })
  }
  for (const text of before.slice(before.length - end)) same(text)
  return around(lines)
}

type Op = ['same' | 'added' | 'removed', string]

/** The longest common subsequence, by the table that everybody knows. */
function compared(before: string[], after: string[]): Op[] {
  if (before.length * after.length > MOST * MOST) {
    return [
      ...before.map((text): Op => ['removed', text]),
      ...after.map((text): Op => ['added', text]),
    ]
  }
  const width = after.length + 1
  const table = new Uint32Array((before.length + 1) * width)
  const at = (i: number, j: number): number => table[i * width + j] ?? 0
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      table[i * width + j] =
        before[i] === after[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1))
    }
  }
  const out: Op[] = []
  let [i, j] = [0, 0]
  while (i < before.length && j < after.length) {
    if (before[i] === after[j]) {
      out.push(['same', before[i] ?? ''])
      i += 1
      j += 1
    } else if (at(i + 1, j) >= at(i, j + 1)) out.push(['removed', before[i++] ?? ''])
    else out.push(['added', after[j++] ?? ''])
  }
  for (const text of before.slice(i)) out.push(['removed', text])
  for (const text of after.slice(j)) out.push(['added', text])
  return out
}

/** Keep the changed lines and three around each; what is left out becomes a gap. */
function around(lines: DiffLine[]): DiffLine[] {
  const near = new Set<number>()
  lines.forEach((line, at) => {
    if (line.kind === 'same') return
    for (let n = at - AROUND; n <= at + AROUND; n++) near.add(n)
  })
  const out: DiffLine[] = []
  let hidden = 0
  const gap = () => {
    if (hidden)
      out.push({
        kind: 'gap',
        text: hidden === 1 ? '1 line is the same' : `${hidden} lines are the same`,
      })
    hidden = 0
  }
  lines.forEach((line, at) => {
    if (near.has(at)) {
      gap()
      out.push(line)
    } else hidden += 1
  })
  gap()
  return out
}
