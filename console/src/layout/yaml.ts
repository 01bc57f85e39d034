/** A JSON value as YAML in block style, for a document that was deployed as JSON. */

/** Words and numbers that YAML would read as something else than text. */
const OTHER = /^(?:~|null|true|false|yes|no|on|off|y|n|[-+.]?\d\S*|[-+]?\.(?:inf|nan))$/i
/** Text that needs no quotes: a letter or one of `/.$` first, nothing that ends or begins a token. */
const PLAIN = /^[\p{L}\p{N}_/.][\p{L}\p{N}_/.()$+=<>*;~^-]*(?: [\p{L}\p{N}_/.()$+=<>*;~^-]+)*$/u

/** Line breaks of YAML that JSON leaves as they are. */
const BREAKS = /[\u0085\u2028\u2029]/g
const hex = (letter: string): string => letter.charCodeAt(0).toString(16).padStart(4, '0')

function text(value: string): string {
  if (PLAIN.test(value) && !OTHER.test(value) && !/^[.-]/.test(value)) return value
  // Printable text on one line reads best between single quotes; JSON's own are YAML, too.
  return /^[\x20-\x7e\u00a0-\u2027\u202a-\ufefe\u{10000}-\u{10fffd}]*$/u.test(value)
    ? `'${value.replace(/'/g, "''")}'`
    : JSON.stringify(value).replace(BREAKS, (each) => `\\u${hex(each)}`)
}

/** Text of several lines that a block can hold as it is. */
const BLOCK = /^[^\s][\x20-\x7e\u00a0-\u2027\u202a-\ufefe\n]*[^\s](?:\n?)$/
const isBlock = (value: unknown): value is string =>
  typeof value === 'string' && value.includes('\n') && BLOCK.test(value)

function block(value: string): [string, string[]] {
  const ends = value.endsWith('\n')
  const all = (ends ? value.slice(0, -1) : value).split('\n')
  return [ends ? '|' : '|-', all]
}

/** A line of a block; empty ones stay empty. */
const inner = (line: string): string => line && `  ${line}`

const scalar = (value: unknown): string =>
  typeof value === 'string' ? text(value) : (JSON.stringify(value) ?? 'null')

type Members = Record<string, unknown>
const isMap = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isEmpty = (value: object): boolean => Object.keys(value).length === 0

/** Return the lines of a value; those of a block are not yet indented. */
function lines(value: unknown): string[] {
  if (Array.isArray(value) && !isEmpty(value)) return value.flatMap(item)
  if (isMap(value) && !isEmpty(value)) return Object.entries(value).flatMap(member)
  return [scalar(value)]
}

function item(value: unknown): string[] {
  if (isBlock(value)) {
    const [mark, all] = block(value)
    return [`- ${mark}`, ...all.map(inner)]
  }
  const [first = '', ...rest] = lines(value)
  return [`- ${first}`, ...rest.map(inner)]
}

function member([name, value]: [string, unknown]): string[] {
  if (isBlock(value)) {
    const [mark, all] = block(value)
    return [`${text(name)}: ${mark}`, ...all.map(inner)]
  }
  if (typeof value !== 'object' || value === null || isEmpty(value))
    return [`${text(name)}: ${scalar(value)}`]
  return [`${text(name)}:`, ...lines(value).map(inner)]
}

export const toYaml = (value: unknown): string => `${lines(value).join('\n')}\n`
