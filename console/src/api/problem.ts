/** Why a request failed: problem details (RFC 9457), or that there was no answer. */

export interface ErrorItem {
  message: string
  pointer?: string | null
  parameter?: string
  line?: number | null
  column?: number | null
  instance?: string
}

export interface ProblemDetails {
  type?: string
  title?: string
  status?: number
  detail?: string
  trace_id?: string
  errors?: ErrorItem[]
}

export class ApiProblem extends Error {
  readonly status: number
  readonly details: ProblemDetails

  constructor(status: number, details: ProblemDetails) {
    super(details.detail ?? details.title ?? `the API answered ${status}`)
    this.status = status
    this.details = details
  }

  get errors(): ErrorItem[] {
    return this.details.errors ?? []
  }
}

/** What to tell of any error. */
export function told(error: unknown): { title: string; detail: string; trace?: string } {
  if (error instanceof ApiProblem) {
    const title = error.details.title ?? `HTTP ${error.status}`
    const rest = error.errors.map((each) => each.message).filter((each) => each !== error.message)
    const detail = [error.details.detail ?? '', ...rest.slice(0, 5)].filter(Boolean).join('. ')
    return { title, detail, trace: error.details.trace_id }
  }
  if (error instanceof TypeError) {
    return { title: 'The API does not answer', detail: 'The network or the process may be down.' }
  }
  return { title: 'This did not work', detail: error instanceof Error ? error.message : '' }
}
