/** Write a workflow from nothing. */

import { Link, useNavigate } from '@tanstack/react-router'
import { lazy, Suspense } from 'react'
import { Bar, Crumb, Title } from '../../shell/Shell'
import { usePreferences } from '../../ui/preferences'
import { Loading } from '../../ui/states'

const TextEditor = lazy(async () => ({ default: (await import('./DocumentTab')).TextEditor }))

const template = (namespace: string): string => `document:
  dsl: '1.0.3'
  namespace: ${namespace}
  name: new-workflow
  version: '0.1.0'
do:
  - first:
      set:
        hello: world
`

export function NewWorkflowView() {
  const { namespace } = usePreferences()
  const navigate = useNavigate()
  return (
    <>
      <Title text="New workflow" />
      <Bar>
        <Crumb>
          {[
            <Link key="w" to="/workflows">
              Workflows
            </Link>,
          ]}
        </Crumb>
        <h1>New workflow</h1>
      </Bar>
      <Suspense fallback={<Loading />}>
        <NewText
          text={template(namespace || 'default')}
          onDeployed={(namespace, name) =>
            void navigate({ to: '/workflows/$namespace/$name', params: { namespace, name } })
          }
        />
      </Suspense>
    </>
  )
}

/** The template counts as not deployed, so that it can be deployed as it is. */
function NewText({
  text,
  onDeployed,
}: {
  text: string
  onDeployed: (namespace: string, name: string) => void
}) {
  return (
    <TextEditor
      draft="new"
      deployed=""
      initial={text}
      onDeployed={(_, namespace, name) => onDeployed(namespace, name)}
    />
  )
}
