/**
 * The outline of a YAML text: its values, and the line of every member by its JSON pointer.
 *
 * It reads the editor's own syntax tree, which exists for texts with mistakes, too. It is for
 * pictures only: the server reads the document.
 */

import { yamlLanguage } from '@codemirror/lang-yaml'
import { escapeToken } from '../../layout/documentGraph'

interface Node {
  name: string
  from: number
  to: number
  firstChild: Node | null
  nextSibling: Node | null
}

export interface Outline {
  value: unknown
  /** The line of each member, from 1. */
  lines: Map<string, number>
  /** The text has mistakes of syntax: the outline is what is left. */
  broken: boolean
}

/** Deeper texts are cut off: no document of ours is so deep. */
const DEEPEST = 100

export function outline(text: string): Outline {
  const tree = yamlLanguage.parser.parse(text)
  const lines = new Map<string, number>()
  const starts = lineStarts(text)
  let broken = false
  tree.iterate({
    enter: (node) => {
      if (node.type.isError) broken = true
    },
  })
  const read = (node: Node | null, pointer: string, depth: number): unknown => {
    if (!node || depth > DEEPEST) return null
    switch (node.name) {
      case 'BlockMapping':
      case 'FlowMapping':
        return mapping(node, pointer, depth)
      case 'BlockSequence':
      case 'FlowSequence':
        return children(node)
          .filter((child) => child.name === 'Item')
          .map((item, at) => read(valueIn(item), `${pointer}/${at}`, depth + 1))
      case 'BlockLiteral':
        return text.slice(node.from, node.to)
      case 'QuotedLiteral':
        return unquoted(text.slice(node.from, node.to))
      case 'Literal':
        return scalar(text.slice(node.from, node.to).trim())
      case 'Tagged':
      case 'Anchored':
        return read(valueIn(node), pointer, depth + 1)
      default:
        return null
    }
  }
  const mapping = (node: Node, pointer: string, depth: number): Record<string, unknown> => {
    const members: [string, unknown][] = []
    for (const pair of children(node).filter((child) => child.name === 'Pair')) {
      const key = children(pair).find((child) => child.name === 'Key')
      if (!key) continue
      const name = String(unquoted(text.slice(key.from, key.to).trim()))
      const at = `${pointer}/${escapeToken(name)}`
      lines.set(at, lineOf(starts, key.from))
      members.push([name, read(valueIn(pair), at, depth + 1)])
    }
    return Object.fromEntries(members)
  }
  const document = children(tree.topNode).find((child) => child.name === 'Document')
  return { value: read(document ? valueIn(document) : null, '', 0), lines, broken }
}

function children(node: Node): Node[] {
  const found: Node[] = []
  for (let child = node.firstChild; child; child = child.nextSibling) found.push(child)
  return found
}

const VALUES = new Set([
  'BlockMapping',
  'FlowMapping',
  'BlockSequence',
  'FlowSequence',
  'BlockLiteral',
  'QuotedLiteral',
  'Literal',
  'Tagged',
  'Anchored',
])

const valueIn = (node: Node): Node | null =>
  children(node).find((child) => VALUES.has(child.name)) ?? null

function unquoted(text: string): string {
  const quote = text[0]
  if (quote === "'") return text.slice(1, -1).replace(/''/g, "'")
  if (quote !== '"') return text
  try {
    return JSON.parse(text)
  } catch {
    // YAML has escapes that JSON has not; a picture can do without them.
    return text.slice(1, -1)
  }
}

function scalar(text: string): unknown {
  if (text === 'true' || text === 'false') return text === 'true'
  if (text === 'null' || text === '~' || text === '') return null
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text
}

function lineStarts(text: string): number[] {
  const starts = [0]
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  return starts
}

function lineOf(starts: number[], at: number): number {
  let lo = 0
  let hi = starts.length - 1
  while (lo < hi) {
    const mid = (lo + hi + 1) >> 1
    if ((starts[mid] ?? 0) <= at) lo = mid
    else hi = mid - 1
  }
  return lo + 1
}
