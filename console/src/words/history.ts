/** The transitions of an instance, in words. */

export interface Stimulus {
  kind: string
  step?: number | null
  state?: string
  data?: unknown
  command?: string
  timer?: string
  by?: string | null
}

export interface Fact {
  type: string
  step: number | null
  data?: unknown
}

type NameOf = (step: number | null | undefined) => string

/** What caused a transition: `Result of charge`, `Loss of charge`, `retry, by Ada`. */
export function cause(stimulus: unknown, name: NameOf): string {
  const given = (typeof stimulus === 'object' && stimulus !== null ? stimulus : {}) as Stimulus
  const data = (typeof given.data === 'object' && given.data !== null ? given.data : {}) as Stimulus
  const step = given.step ?? data.step
  switch (given.kind) {
    case 'start':
      return 'Start'
    case 'result':
      return `${RESULTS[given.state ?? ''] ?? 'Result of'} ${name(step)}`
    case 'timer':
      return `${TIMERS[given.timer ?? ''] ?? 'Timer'} of ${name(step)}`
    case 'event':
      return `Event for ${name(step)}`
    case 'child':
      return `Report of the sub-workflow of ${name(step)}`
    case 'command': {
      const command = given.command ?? data.command ?? 'command'
      const by = given.by ?? data.by
      return `Command ${command}${by ? ` by ${by}` : ''}`
    }
    case 'go_on':
      return 'Continued'
    default:
      return given.kind ?? 'Unknown cause'
  }
}

const RESULTS: Record<string, string> = {
  succeeded: 'Result of',
  failed: 'Failure of',
  lost: 'Loss of',
  withdrawn: 'Withdrawal of',
}
const TIMERS: Record<string, string> = {
  retry: 'Retry',
  timeout: 'Timeout',
  wait: 'End of the wait',
}

/** What a transition did, in one line: `reserve completed, pay started`. */
export function deeds(facts: Fact[], name: NameOf): string {
  const created = new Set(facts.filter((f) => f.type === 'task.started').map((f) => f.step))
  const told = facts.filter((f) => !(f.type === 'task.created' && created.has(f.step)))
  const parts = told.slice(0, 12).map((fact) => deed(fact, name))
  const more = told.length - parts.length
  return more > 0 ? `${parts.join(', ')} and ${more} more` : parts.join(', ')
}

function deed(fact: Fact, name: NameOf): string {
  const [subject, verb] = fact.type.split('.')
  const what = subject === 'task' && fact.step !== null ? name(fact.step) : subject
  const who = what === 'workflow' ? 'Instance' : (what ?? '')
  return `${who} ${(verb ?? '').replace(/[_-]/g, ' ')}`.trim()
}
