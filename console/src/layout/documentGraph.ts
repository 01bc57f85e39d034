/** From a workflow's document to the nested blocks that the graph's layout takes. */

import type { GraphNode } from './graph'

type Json = Record<string, unknown>

/** Kinds in the order in which their key decides: a `for` has a `do`, too. */
const KINDS = [
  'for',
  'try',
  'call',
  'set',
  'switch',
  'do',
  'fork',
  'raise',
  'wait',
  'emit',
  'listen',
  'run',
] as const

/** Return the tasks of a document; what is no task is left out, so that a draft can be drawn. */
export function documentGraph(document: unknown): GraphNode[] {
  return isObject(document) ? taskList(document.do, '/do') : []
}

function taskList(list: unknown, pointer: string): GraphNode[] {
  if (!Array.isArray(list)) return []
  return list.flatMap((item, at) => {
    if (!isObject(item)) return []
    const [name, body] = Object.entries(item)[0] ?? []
    if (name === undefined || !isObject(body)) return []
    return [task(name, body, `${pointer}/${at}/${escapeToken(name)}`)]
  })
}

function task(name: string, body: Json, reference: string): GraphNode {
  const kind = KINDS.find((each) => each in body) ?? 'call'
  const node: GraphNode = { reference, name, kind, summary: summary(kind, body) }
  if (typeof body.then === 'string') node.then = body.then
  if (kind === 'for' || kind === 'do') node.body = taskList(body.do, `${reference}/do`)
  if (kind === 'try') {
    node.body = taskList(body.try, `${reference}/try`)
    const handler = isObject(body.catch) ? taskList(body.catch.do, `${reference}/catch/do`) : []
    if (handler.length) node.catch = handler
  }
  if (kind === 'fork' && isObject(body.fork)) {
    const branches = taskList(body.fork.branches, `${reference}/fork/branches`)
    node.branches = branches.map((branch) => [branch])
  }
  if (kind === 'listen' && isObject(body.foreach)) {
    const inside = taskList(body.foreach.do, `${reference}/foreach/do`)
    if (inside.length) node.body = inside
  }
  if (kind === 'switch') node.cases = cases(body.switch)
  const metadata = isObject(body.metadata) ? body.metadata : {}
  if (isObject(metadata.compensate)) {
    const undo = metadata.compensate
    const undoKind = KINDS.find((each) => each in undo) ?? 'call'
    const words = summary(undoKind, undo)
    node.undo = { name: words, reference: `${reference}/metadata/compensate`, summary: words }
  }
  return node
}

function cases(value: unknown): GraphNode['cases'] {
  if (!Array.isArray(value)) return []
  return value.flatMap((item) => {
    const [name, body] = isObject(item) ? (Object.entries(item)[0] ?? []) : []
    if (name === undefined || !isObject(body)) return []
    const then = typeof body.then === 'string' ? body.then : 'continue'
    return [{ name, then, when: typeof body.when === 'string' ? body.when : undefined }]
  })
}

/** The second line of a task: what it calls, waits for or emits, as short as it can be said. */
export function summary(kind: string, body: Json): string {
  const value = body[kind]
  if (kind === 'call' && typeof value === 'string') return called(value, body.with)
  if (kind === 'wait') return typeof value === 'string' ? value : duration(value)
  if (kind === 'listen') return eventTypes(value)
  if (kind === 'emit') return emitted(value)
  if (kind === 'run' && isObject(value)) return ran(value)
  if (kind === 'for' && isObject(value)) return `for each ${text(value.each) || 'item'}`
  if (kind === 'try') return 'try'
  if (kind === 'fork') return isObject(value) && value.compete === true ? 'race' : 'fork'
  return kind
}

function called(name: string, argument: unknown): string {
  const given = isObject(argument) ? argument : {}
  if (name === 'http') {
    const endpoint = isObject(given.endpoint) ? given.endpoint.uri : given.endpoint
    return `${text(given.method).toUpperCase() || 'GET'} ${text(endpoint)}`.trim()
  }
  if (name === 'celery') return lastPart(text(given.task) || name)
  return lastPart(name)
}

const lastPart = (name: string): string => name.split('.').at(-1) ?? name

function duration(value: unknown): string {
  if (!isObject(value)) return 'wait'
  const parts = Object.entries(value).map(([unit, n]) => `${text(n)} ${unit}`)
  return parts.join(' ') || 'wait'
}

function eventTypes(value: unknown): string {
  const to = isObject(value) && isObject(value.to) ? value.to : {}
  const one = isObject(to.one) ? [to.one] : []
  const filters = [...one, ...list(to.any), ...list(to.all)]
  const types = filters.map((filter) =>
    isObject(filter) && isObject(filter.with) ? text(filter.with.type) : '',
  )
  return types.filter(Boolean).join(', ') || 'any event'
}

function emitted(value: unknown): string {
  const event = isObject(value) && isObject(value.event) ? value.event : {}
  return isObject(event.with) ? text(event.with.type) || 'event' : 'event'
}

function ran(value: Json): string {
  if (isObject(value.workflow)) {
    return `${text(value.workflow.namespace)}/${text(value.workflow.name)}`
  }
  return Object.keys(value).find((key) => key !== 'await' && key !== 'return') ?? 'run'
}

const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
const text = (value: unknown): string =>
  typeof value === 'string' || typeof value === 'number' ? String(value) : ''

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A name as one token of a JSON pointer (RFC 6901). */
export const escapeToken = (name: string): string => name.replace(/~/g, '~0').replace(/\//g, '~1')

/** Return the value at a JSON pointer, or undefined. */
export function lookUp(document: unknown, pointer: string): unknown {
  let value = document
  for (const token of pointer.split('/').slice(1)) {
    const key = token.replace(/~1/g, '/').replace(/~0/g, '~')
    if (Array.isArray(value)) value = value[Number(key)]
    else if (isObject(value) && Object.hasOwn(value, key)) value = value[key]
    else return undefined
  }
  return value
}
