/** The members of a workflow's input, as its schema describes them, for a form. */

import { isObject, lookUp } from '../../layout/documentGraph'

export interface InputMember {
  name: string
  type: 'string' | 'integer' | 'number' | 'boolean' | 'json'
  required: boolean
  title: string
  description?: string
  options?: string[]
}

/** Return the schema of a document's input, if it has one that is written out. */
export function schemaOf(document: unknown): Record<string, unknown> | null {
  const schema = lookUp(document, '/input/schema/document')
  return isObject(schema) ? schema : null
}

/** Return the members of an object's schema; null if a form can't show it. */
export function members(schema: Record<string, unknown> | null): InputMember[] | null {
  if (schema?.type !== 'object' || !isObject(schema.properties)) return null
  const required = new Set(Array.isArray(schema.required) ? schema.required : [])
  return Object.entries(schema.properties).map(([name, value]) => {
    const given = isObject(value) ? value : {}
    return {
      name,
      type: typeOf(given),
      required: required.has(name),
      title: typeof given.title === 'string' ? given.title : name,
      description: typeof given.description === 'string' ? given.description : undefined,
      options: optionsOf(given),
    }
  })
}

const SIMPLE = new Set(['string', 'integer', 'number', 'boolean'])

function typeOf(schema: Record<string, unknown>): InputMember['type'] {
  return typeof schema.type === 'string' && SIMPLE.has(schema.type)
    ? (schema.type as InputMember['type'])
    : 'json'
}

function optionsOf(schema: Record<string, unknown>): string[] | undefined {
  const values = schema.enum
  const texts = Array.isArray(values) && values.every((each) => typeof each === 'string')
  return texts ? (values as string[]) : undefined
}

/** Read what was typed for one member; an empty field is left out. */
export function memberValue(member: InputMember, text: string): unknown {
  if (text === '') return undefined
  if (member.type === 'string') return text
  if (member.type === 'boolean') return text === 'true'
  if (member.type === 'json') return parsed(text).value ?? text
  const number = Number(text)
  return Number.isNaN(number) ? text : number
}

export function parsed(text: string): { value: unknown; error: string | null } {
  try {
    return { value: text.trim() === '' ? {} : JSON.parse(text), error: null }
  } catch (error) {
    return { value: undefined, error: error instanceof Error ? error.message : 'no JSON' }
  }
}
