/** The text of a version, as it was deployed. */

import { queryOptions } from '@tanstack/react-query'
import { ApiProblem } from '../../api/problem'
import { API } from '../../base'
import { toYaml } from '../../layout/yaml'

export const YAML = 'application/yaml'

/** A version's text with its comments, which the document has not. It never changes. */
export const deployedText = (namespace: string, name: string, version: string) =>
  queryOptions({
    queryKey: ['workflow', namespace, name, 'text', version],
    queryFn: () => readText([namespace, name, 'versions', version]),
    staleTime: Number.POSITIVE_INFINITY,
  })

async function readText(parts: string[]): Promise<string> {
  const path = parts.map(encodeURIComponent).join('/')
  const answer = await fetch(`${API}/v1/workflows/${path}`, { headers: { Accept: YAML } })
  if (!answer.ok) throw new ApiProblem(answer.status, await answer.json().catch(() => ({})))
  return readable(await answer.text())
}

/** JSON on one line, as programs deploy it, is written as YAML. */
function readable(text: string): string {
  if (!text.startsWith('{')) return text
  try {
    return toYaml(JSON.parse(text))
  } catch {
    return text
  }
}
