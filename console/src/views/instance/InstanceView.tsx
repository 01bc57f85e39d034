/** One instance: what it is, why it stands where it stands, and what can be done about it. */

import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router'
import { useState } from 'react'
import { instance as instanceQuery, steps as stepsQuery, workflowVersion } from '../../api/queries'
import type { Instance, Step } from '../../api/types'
import { useKeys } from '../../shell/keys'
import { Bar, Crumb, Title } from '../../shell/Shell'
import { useMay } from '../../shell/useMay'
import { Button, IconButton, MiddleCut, StateChip, writeClipboard } from '../../ui/basics'
import { Menu, MenuTrigger, say } from '../../ui/overlays'
import { Failed, Loading } from '../../ui/states'
import { cut } from '../../words/numbers'
import { COMPENSATION, standing } from '../../words/states'
import { type ActionName, actionsFor } from '../repair/actions'
import { RepairDialog } from '../repair/RepairDialog'
import { StartDialog } from '../workflows/StartDialog'
import { InstanceBody } from './InstanceBody'
import type { InstanceSearch } from './search'

export function InstanceView() {
  const { id } = useParams({ strict: false }) as { id: string }
  const found = useQuery(instanceQuery(id))
  const steps = useQuery(stepsQuery(id))
  const workflow = found.data?.value.workflow
  const document = useQuery({
    ...workflowVersion(workflow?.namespace ?? '', workflow?.name ?? '', workflow?.version ?? ''),
    enabled: Boolean(workflow),
  }).data?.document
  if (!found.data) {
    return (
      <>
        <Title text="Instance" />
        <Bar>
          <h1>Instance</h1>
        </Bar>
        <div className="pad">
          {found.error ? (
            <Failed error={found.error} retry={() => void found.refetch()} />
          ) : (
            <Loading />
          )}
        </div>
      </>
    )
  }
  const { value, etag } = found.data
  return (
    <Loaded
      key={id}
      instance={value}
      etag={etag}
      steps={steps.data?.items ?? null}
      stepsError={steps.error}
      document={document}
    />
  )
}

function Loaded({
  instance,
  etag,
  steps,
  stepsError,
  document,
}: {
  instance: Instance
  etag: string | null
  steps: Step[] | null
  stepsError: unknown
  document: unknown
}) {
  const search = useSearch({ strict: false }) as InstanceSearch
  const navigate = useNavigate()
  const [again, setAgain] = useState(false)
  const [menu, setMenu] = useState(false)
  const may = useMay('operator')
  const name = instance.business_id ?? instance.id
  const { namespace, name: workflow, version } = instance.workflow
  const setSearch = (change: Partial<InstanceSearch>, replace = false) =>
    void navigate({
      to: '/instances/$id',
      params: { id: instance.id },
      search: { ...search, ...change },
      replace,
    })
  const act = (action: ActionName | undefined, step?: number) =>
    setSearch({ act: action, on: step })
  const compare = () => void navigate({ to: '/compare', search: { a: instance.id } })
  const actions = may ? actionsFor(instance, steps ?? []) : []
  const copyLink = async () => {
    await writeClipboard(location.href)
    say('Link copied')
  }
  useKeys([
    { keys: '.', does: 'Actions', group: 'Instance', run: () => setMenu(true) },
    { keys: 'y', does: 'Copy the link', group: 'Instance', run: () => void copyLink() },
  ])
  const compensation = COMPENSATION[instance.compensation]
  return (
    <>
      <Title text={cut(name, 60)} />
      <Bar
        actions={
          <>
            {actions.slice(0, 2).map((action) => (
              <Button key={action.name} icon={action.icon} onClick={() => act(action.name)}>
                {action.text}…
              </Button>
            ))}
            {may && (
              <Button icon="play" className="hide-s" onClick={() => setAgain(true)}>
                Start again…
              </Button>
            )}
            <Button icon="compare" className="hide-s" onClick={compare}>
              Compare…
            </Button>
            <IconButton icon="link" label="Copy link (y)" onClick={() => void copyLink()} />
            <Menu
              open={menu}
              onOpenChange={setMenu}
              trigger={<MenuTrigger render={<IconButton icon="more" label="More actions (.)" />} />}
              entries={[
                ...actions.map((action) => ({
                  text: `${action.text}…`,
                  icon: action.icon,
                  shortcut: action.key,
                  danger: action.danger,
                  onSelect: () => act(action.name),
                })),
                ...(may
                  ? [
                      {
                        text: 'Start again…',
                        icon: 'play' as const,
                        onSelect: () => setAgain(true),
                      },
                    ]
                  : []),
                { text: 'Compare…', icon: 'compare' as const, onSelect: compare },
                null,
                {
                  text: 'Copy the link',
                  icon: 'link' as const,
                  shortcut: 'y',
                  onSelect: () => void copyLink(),
                },
              ]}
            />
          </>
        }
      >
        <Crumb>
          {[
            <Link key="i" to="/instances">
              Instances
            </Link>,
            <Link
              key="w"
              className="cut"
              to="/workflows/$namespace/$name"
              params={{ namespace, name: workflow }}
            >
              <bdi>{cut(`${namespace}/${workflow}`, 40)}</bdi>
            </Link>,
          ]}
        </Crumb>
        <h1 className="cut">
          <MiddleCut text={name} tail={14} />
        </h1>
        <StateChip state={standing(instance).first} />
        {compensation && <StateChip state={compensation} />}
      </Bar>
      <MenuKeys
        open={menu}
        actions={actions.map(({ name, key }) => ({ name, key }))}
        act={(a) => {
          setMenu(false)
          act(a)
        }}
      />
      <InstanceBody
        instance={instance}
        steps={steps}
        stepsError={stepsError}
        document={document}
        search={search}
        setSearch={setSearch}
        onAct={may ? act : undefined}
      />
      {search.act && (
        <RepairDialog
          key={`${search.act} ${search.on ?? ''}`}
          action={search.act}
          on={search.on}
          instance={instance}
          etag={etag}
          steps={steps ?? []}
          document={document}
          onClose={() => act(undefined)}
        />
      )}
      {again && (
        <StartDialog
          prefill={{
            namespace,
            name: workflow,
            version,
            input: instance.input,
            labels: instance.labels,
          }}
          onClose={() => setAgain(false)}
        />
      )}
    </>
  )
}

/** `.` and then a letter: the letters work only while the menu is open. */
function MenuKeys({
  open,
  actions,
  act,
}: {
  open: boolean
  actions: { name: ActionName; key?: string }[]
  act: (name: ActionName) => void
}) {
  useKeys(
    open
      ? actions.flatMap(({ name, key }) =>
          key
            ? [
                {
                  keys: key,
                  does: `Action: ${name}`,
                  group: 'Instance',
                  run: () => act(name),
                  always: true,
                },
              ]
            : [],
        )
      : [],
  )
  return null
}
