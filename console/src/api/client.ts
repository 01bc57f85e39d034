/** Requests to the API, typed by its own description. */

import createClient, { type Middleware } from 'openapi-fetch'
import { API, CONSOLE } from '../base'
import { ApiProblem, type ProblemDetails } from './problem'
import type { paths } from './schema'
import { heard } from './serverClock'

/** The API refuses requests by cookie that change something and lack it. */
const OWN_HEADER = 'X-Orchestrator-Console'

const shared: Middleware = {
  onRequest({ request }) {
    if (request.method !== 'GET') request.headers.set(OWN_HEADER, '1')
    return request
  },
  async onResponse({ response }) {
    heard(response.headers.get('date'))
    if (response.status === 401) toLogin()
    if (!response.ok && response.status !== 304) throw await problem(response)
    return response
  },
}

async function problem(response: Response): Promise<ApiProblem> {
  const details = await response
    .clone()
    .json()
    .catch(() => ({}))
  return new ApiProblem(response.status, details as ProblemDetails)
}

let leaving = false

/** Sign in again, and come back to the same address. */
function toLogin(): void {
  if (leaving) return
  leaving = true
  const next = `${location.pathname}${location.search}`
  location.assign(`${CONSOLE}/login?next=${encodeURIComponent(next)}`)
}

export const client = createClient<paths>({ baseUrl: API || '/', fetch: (r) => fetch(r) })
client.use(shared)

/** The data of an answer that the middleware let through. */
export function data<T>(answer: { data?: unknown }): T {
  return answer.data as T
}

export interface Sent<T> {
  data: T
  etag: string | null
}

/**
 * Request a path that this release may not have.
 *
 * Returns null where the server does not know it, so that a view can leave out what is absent.
 */
export async function optional<T>(known: boolean, path: string): Promise<T | null> {
  if (!known) return null
  try {
    return (await send<T>('GET', path)).data
  } catch (error) {
    if (error instanceof ApiProblem && [400, 404, 405].includes(error.status)) return null
    throw error
  }
}

/** Send any request. Raises `ApiProblem`. */
export async function send<T>(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
  contentType = 'application/json',
): Promise<Sent<T>> {
  const own: Record<string, string> = method === 'GET' ? {} : { [OWN_HEADER]: '1' }
  if (body !== undefined) own['Content-Type'] = contentType
  const payload =
    body === undefined
      ? undefined
      : typeof body === 'string' && contentType !== 'application/json'
        ? body
        : JSON.stringify(body)
  const response = await fetch(`${API}${path}`, {
    method,
    headers: { Accept: 'application/json', ...own, ...headers },
    body: payload,
  })
  heard(response.headers.get('date'))
  if (response.status === 401) toLogin()
  if (!response.ok) throw await problem(response)
  const text = await response.text()
  return { data: (text ? JSON.parse(text) : null) as T, etag: response.headers.get('etag') }
}

/** A key under which a command counts once, however often it is sent. */
export const idempotencyKey = (): string => crypto.randomUUID()
