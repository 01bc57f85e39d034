/** Commands as a person would type them, quoted for a POSIX shell. */

/** Quote one word, unless it is safe as it stands. */
export function quote(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word
  // A shell would show control characters as they are, and a pasted newline would run the rest.
  if (hasControl(word)) return `$'${[...word].map(ansi).join('')}'`
  return `'${word.replace(/'/g, "'\\''")}'`
}

function hasControl(word: string): boolean {
  return [...word].some((letter) => isControl(letter))
}

function isControl(letter: string): boolean {
  const code = letter.codePointAt(0) ?? 0
  return code < 32 || (code >= 127 && code < 160)
}

function ansi(letter: string): string {
  if (letter === "'" || letter === '\\') return `\\${letter}`
  if (!isControl(letter)) return letter
  return `\\x${(letter.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`
}

export type Option = [name: string, value: string | undefined]

/** `orchestrator retry ID \` with one option a line. */
export function cli(command: string, words: string[], options: Option[] = []): string {
  const first = ['orchestrator', command, ...words.map(quote)].join(' ')
  const rest = options.flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}${value === '' ? '' : ` ${quote(value)}`}`],
  )
  return [first, ...rest].join(' \\\n  ')
}

/** The same request as curl sends it. */
export function curl(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): string {
  const lines = [
    `curl -X ${method} "$ORCHESTRATOR_API_URL"${quote(path)}`,
    '-H "authorization: Bearer $ORCHESTRATOR_API_KEY"',
    ...Object.entries(headers).map(([name, value]) => `-H ${quote(`${name}: ${value}`)}`),
  ]
  if (body !== undefined) {
    lines.push(`-H 'content-type: application/json'`, `-d ${quote(JSON.stringify(body))}`)
  }
  return lines.join(' \\\n  ')
}
