/** What can be written where in a workflow document (Serverless Workflow DSL 1.0, and ours). */

type Keys = [key: string, does: string][]

const TASK: Keys = [
  ['call', 'run a task, HTTP or a function'],
  ['set', 'set data'],
  ['do', 'tasks one after the other'],
  ['for', 'tasks for each item'],
  ['fork', 'branches beside each other'],
  ['try', 'tasks whose errors are caught'],
  ['switch', 'choose the next task'],
  ['listen', 'wait for events'],
  ['emit', 'send an event'],
  ['wait', 'wait for a time'],
  ['raise', 'raise an error'],
  ['run', 'run a sub-workflow or process'],
  ['with', 'arguments of the call'],
  ['if', 'only if this is true'],
  ['input', 'transform the input'],
  ['output', 'transform the output'],
  ['export', 'write the context'],
  ['timeout', 'longest time'],
  ['then', 'the next task'],
  ['metadata', 'compensation, queue, display'],
]

const KEYS: Record<string, Keys> = {
  '': [
    ['document', 'identity of the workflow'],
    ['input', 'schema and transformation of the input'],
    ['use', 'functions, errors, retries, secrets'],
    ['do', 'the tasks'],
    ['output', 'transform the output'],
    ['schedule', 'when it starts by itself'],
    ['timeout', 'longest time of an instance'],
    ['evaluate', 'how expressions are evaluated'],
    ['metadata', 'anything else'],
  ],
  document: [
    ['dsl', 'version of the language'],
    ['namespace', 'whose it is'],
    ['name', 'its name'],
    ['version', 'semantic version'],
    ['title', 'a line for people'],
    ['summary', 'a paragraph for people'],
    ['tags', 'for finding it'],
  ],
  input: [
    ['schema', 'what it must look like'],
    ['from', 'transform it'],
  ],
  output: [
    ['as', 'transform it'],
    ['schema', 'what it must look like'],
  ],
  export: [['as', 'the new context']],
  metadata: [
    ['compensate', 'the task that undoes this one'],
    ['queue', 'the Celery queue'],
    ['priority', 'of the message'],
    ['display', 'quiet: folded in the console'],
    ['maxStarts', 'how often it may be lost'],
  ],
  compensate: TASK,
  for: [
    ['each', 'name of the item'],
    ['in', 'the collection'],
    ['at', 'name of the index'],
  ],
  fork: [
    ['branches', 'the tasks'],
    ['compete', 'the first one wins'],
  ],
  catch: [
    ['errors', 'which ones'],
    ['as', 'name of the error'],
    ['when', 'only if'],
    ['retry', 'try again'],
    ['do', 'tasks that handle it'],
  ],
  retry: [
    ['delay', 'time before the next attempt'],
    ['backoff', 'constant, exponential or linear'],
    ['limit', 'how often, how long'],
    ['jitter', 'random part of the delay'],
  ],
  limit: [
    ['attempt', 'count and duration'],
    ['duration', 'of all attempts'],
  ],
  schedule: [
    ['every', 'an interval'],
    ['cron', 'a cron expression'],
    ['after', 'after the last one ended'],
    ['on', 'an event'],
  ],
  listen: [
    ['to', 'which events'],
    ['read', 'data, envelope or raw'],
  ],
  to: [
    ['one', 'one event'],
    ['any', 'any of several'],
    ['all', 'all of several'],
    ['until', 'when to stop'],
  ],
  emit: [['event', 'the event']],
  raise: [['error', 'the error']],
  error: [
    ['type', 'a URI'],
    ['status', 'as of HTTP'],
    ['title', 'a line'],
    ['detail', 'what happened'],
  ],
  run: [
    ['workflow', 'a sub-workflow'],
    ['await', 'whether to wait for it'],
    ['shell', 'a command'],
    ['script', 'a script'],
    ['container', 'a container'],
  ],
  workflow: [
    ['namespace', 'whose it is'],
    ['name', 'its name'],
    ['version', 'its version'],
    ['input', 'its input'],
  ],
  use: [
    ['functions', 'calls by name'],
    ['errors', 'errors by name'],
    ['retries', 'policies by name'],
    ['timeouts', 'timeouts by name'],
    ['secrets', 'names of secrets'],
    ['authentications', 'credentials by name'],
    ['extensions', 'tasks before and after others'],
  ],
  wait: [
    ['days', ''],
    ['hours', ''],
    ['minutes', ''],
    ['seconds', ''],
  ],
  timeout: [['after', 'longest time']],
}

const VALUES: Record<string, string[]> = {
  call: ['http', 'celery', 'openapi', 'asyncapi', 'grpc'],
  then: ['continue', 'exit', 'end'],
  dsl: ["'1.0.3'"],
  display: ['quiet'],
  compete: ['true', 'false'],
  await: ['true', 'false'],
  read: ['data', 'envelope', 'raw'],
  method: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
}

export const valuesOf = (key: string): string[] => VALUES[key] ?? []

/** The keys above a line of this indent, the outermost first: `['do', 'pay', 'metadata']`. */
export function contextAt(lines: string[], indent: number): string[] {
  const found: string[] = []
  let below = indent
  for (const line of lines.toReversed()) {
    if (!line.trim() || line.trimStart().startsWith('#')) continue
    const match = /^(\s*)((?:- )*)(['"]?)([^'":]+)\3:/.exec(line)
    const own = (match?.[1]?.length ?? 0) + (match?.[2]?.length ?? 0)
    if (!match || own >= below) continue
    found.unshift(match[4] ?? '')
    below = match[2] ? (match[1]?.length ?? 0) + 1 : own
    if (below <= 0) break
  }
  return found
}

const LISTS = new Set(['do', 'try', 'branches', 'before', 'after'])

/** The keys that may stand in this context. */
export function keysIn(context: string[]): Keys {
  const last = context.at(-1)
  if (last === undefined) return KEYS[''] ?? []
  // A task's name stands in a list of tasks; what stands in the task are its keys.
  const parent = context.at(-2)
  if (parent !== undefined && LISTS.has(parent)) {
    return parent === 'try' ? [...TASK, ['catch', 'handle errors']] : TASK
  }
  return KEYS[last] ?? []
}
