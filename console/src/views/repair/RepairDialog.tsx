/**
 * A repair: left the input, right what will happen, below the reason and the same as a command.
 *
 * The plan belongs to the ETag under which it was made. If the instance moves meanwhile, the
 * action is refused, nothing happens, and the plan is made anew.
 */

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useDeferredValue, useState } from 'react'
import { idempotencyKey, type Sent, send } from '../../api/client'
import { ApiProblem } from '../../api/problem'
import { compensation, deadLetters, me, step as stepQuery } from '../../api/queries'
import type { DryRun, Instance, Step } from '../../api/types'
import { documentGraph, lookUp } from '../../layout/documentGraph'
import type { GraphNode } from '../../layout/graph'
import { jsonDiff } from '../../layout/jsonDiff'
import { Banner, Button, Segments } from '../../ui/basics'
import { DiffView } from '../../ui/DiffView'
import { Icon, type IconName } from '../../ui/icons'
import { Dialog, Field, say } from '../../ui/overlays'
import { Failed } from '../../ui/states'
import { cut } from '../../words/numbers'
import { status, type Tone } from '../../words/states'
import { rootCause } from '../instance/model'
import { JsonArea } from '../workflows/InputForm'
import { parsed } from '../workflows/inputSchema'
import { ACTIONS, type ActionName } from './actions'
import { type Given, requestOf } from './commands'
import { Equivalents } from './Equivalents'
import { type Line, type LineKind, plan } from './plan'

interface RepairProps {
  action: ActionName
  on?: number
  instance: Instance
  etag: string | null
  steps: Step[]
  document: unknown
  onClose: () => void
}

type Edited = 'workflow' | 'step'

export function RepairDialog({
  action,
  on,
  instance,
  etag,
  steps,
  document,
  onClose,
}: RepairProps) {
  const words = ACTIONS[action]
  const queries = useQueryClient()
  const [chosen, setTarget] = useState<number | null | undefined>(on)
  // Until a person chooses, the step that failed, also if the steps come after the dialog.
  const target = chosen === undefined ? defaultTarget(action, steps) : chosen
  const [reason, setReason] = useState('')
  const [edited, setEdited] = useState<Edited>('workflow')
  const [text, setText] = useState<string | null>(null)
  const [moved, setMoved] = useState(false)
  const step = steps.find((each) => each.id === target) ?? null
  const letter = useLetter(action, instance, target)
  const editing = useEdited(action, edited, instance, step, text)
  const given: Given = { reason, ...editing.given }
  const request = requestOf(action, instance, step, letter, given, etag)
  const undo = useQuery({
    ...compensation(instance.id),
    enabled: action === 'cancel' || action === 'compensate',
  })
  const dry = useDryRun(request?.path, request?.body, request?.hasDryRun === true)
  const lines = plan({
    action,
    steps,
    on: step,
    after: tasksAfter(document, step),
    compensation: undo.data ?? null,
    dryRun: dry.data?.data ?? null,
  })
  const tag = dry.data?.etag ?? etag
  const act = useMutation({
    mutationFn: async () => {
      if (!request) throw new Error('there is nothing to do this with')
      const headers: Record<string, string> = { 'Idempotency-Key': idempotencyKey() }
      if (request.tagged && tag) headers['If-Match'] = tag
      return (await send<{ decided?: boolean }>('POST', request.path, request.body, headers)).data
    },
    onSuccess: (accepted) => {
      void queries.invalidateQueries({ queryKey: ['instance', instance.id] })
      void queries.invalidateQueries({ queryKey: ['instances'] })
      void queries.invalidateQueries({ queryKey: ['dead-letters'] })
      const later =
        accepted?.decided === false ? 'A control worker must still decide it' : undefined
      say(`${words.confirm}: accepted`, later)
      onClose()
    },
    onError: (error) => {
      if (!(error instanceof ApiProblem) || error.status !== 412) return
      setMoved(true)
      void queries.invalidateQueries({ queryKey: ['dry-run'] })
      void queries.invalidateQueries({ queryKey: ['instance', instance.id] })
    },
  })
  // While a plan is made, there is none to confirm.
  const ready =
    !editing.error && request !== null && !act.isPending && !dry.error && !dry.isFetching
  const confirm = () => {
    if (ready) act.mutate()
  }
  const name = instance.business_id ?? instance.id
  const becomes = dry.data?.data?.becomes
  const run = becomes?.run ?? (action === 'retry' ? instance.run + 1 : undefined)
  return (
    <Dialog
      open
      onClose={onClose}
      onConfirm={confirm}
      icon={
        <span className={`s-${words.tone} tone`}>
          <Icon name={words.icon} />
        </span>
      }
      title={
        <>
          {words.text} <bdi>{cut(name, 50)}</bdi>
        </>
      }
      note={<StandsNote instance={instance} step={step} />}
      footer={
        <>
          <AuditNote />
          <Button onClick={onClose}>Close</Button>
          <Button
            kind="primary"
            icon={words.icon}
            disabled={!ready}
            busy={act.isPending}
            onClick={confirm}
          >
            {words.confirm}
            {action === 'retry' && run ? ` as run ${run}` : ''}
          </Button>
        </>
      }
    >
      {moved && (
        <Banner icon="retry" tone="retry" title="The instance moved meanwhile: nothing happened">
          The plan below is new. Look at it, and confirm again.
        </Banner>
      )}
      {act.error && !(act.error instanceof ApiProblem && act.error.status === 412) && (
        <Failed error={act.error} />
      )}
      {dry.error && <Failed error={dry.error} />}
      <div className={editing.shown || canChoose(action) ? 'two-columns' : 'one-column'}>
        {(editing.shown || canChoose(action)) && (
          <div className="stack">
            {canChoose(action) && (
              <TargetField action={action} steps={steps} target={target} onChange={setTarget} />
            )}
            {editing.shown && (
              <EditField
                action={action}
                edited={edited}
                onEdited={(next) => {
                  setEdited(next)
                  setText(null)
                }}
                text={text}
                onText={setText}
                was={editing.was}
                now={editing.now}
                error={editing.error}
                reads={readsWorkflowInput(document, step)}
                step={step}
              />
            )}
          </div>
        )}
        <PlanList
          lines={lines}
          checked={Boolean(dry.data)}
          run={run}
          becomes={becomes}
          action={action}
        />
      </div>
      <Field label="Reason">
        {(id) => (
          <input
            id={id}
            className="input tall"
            maxLength={2000}
            value={reason}
            placeholder="Goes into the history and the audit"
            onChange={(event) => setReason(event.target.value)}
          />
        )}
      </Field>
      {request && <Equivalents cli={request.cli} curl={request.curl} />}
    </Dialog>
  )
}

const canChoose = (action: ActionName): boolean =>
  action === 'retry' || action === 'skip' || action === 'compensate'

function defaultTarget(action: ActionName, steps: Step[]): number | null {
  if (action !== 'retry' && action !== 'skip') return null
  const waiting = steps.find((step) => step.status === 'waiting' && step.compensates === null)
  if (action === 'skip' && waiting) return waiting.id
  return rootCause(steps)?.id ?? null
}

/** The open dead letter of the chosen step. */
function useLetter(action: ActionName, instance: Instance, target: number | null) {
  const query = useQuery({ ...deadLetters(instance.id), enabled: action.startsWith('letter-') })
  return query.data?.items.find((each) => each.step === target) ?? null
}

function useEdited(
  action: ActionName,
  edited: Edited,
  instance: Instance,
  step: Step | null,
  text: string | null,
) {
  const own = useQuery({
    ...stepQuery(instance.id, step?.id ?? 0),
    enabled: action === 'retry' && edited === 'step' && step !== null,
  }).data
  const shown = action === 'retry' || action === 'skip'
  const was = action === 'skip' ? {} : edited === 'workflow' ? instance.input : (own ?? step)?.input
  const read = parsed(text ?? '')
  const error = text === null ? null : read.error
  const now = text === null ? was : read.value
  const given: Partial<Given> = {}
  if (action === 'skip') given.output = text === null ? undefined : now
  else if (action === 'retry' && text !== null && !error) {
    if (edited === 'workflow') given.workflowInput = now
    else given.input = now
  }
  return { shown, was, now, error, given }
}

/** Ask the server what would happen; only servers whose description has dry runs are asked. */
function useDryRun(path: string | undefined, body: unknown, hasDryRun: boolean) {
  const key = useDeferredValue(JSON.stringify(body))
  return useQuery<Sent<DryRun> | null>({
    queryKey: ['dry-run', path, key],
    enabled: __API__.dryRuns && hasDryRun && path !== undefined,
    queryFn: () => send<DryRun>('POST', `${path}?dry_run=true`, JSON.parse(key)),
    staleTime: 0,
    gcTime: 0,
    retry: false,
  })
}

function StandsNote({ instance, step }: { instance: Instance; step: Step | null }) {
  const { namespace, name, version } = instance.workflow
  const where = step ? `, ${status(step.status).word.toLowerCase()} at ${cut(step.name, 40)}` : ''
  return <>{`${namespace}/${name} ${version}${where}`}</>
}

function AuditNote() {
  const person = useQuery(me).data
  return (
    <span className="note">
      <Icon name="audit" size="s" />
      <span>
        Goes into the audit
        {person && person.authentication !== 'off' && (
          <>
            {' as '}
            <bdi>{person.name}</bdi>
          </>
        )}
        .
      </span>
    </span>
  )
}

function TargetField({
  action,
  steps,
  target,
  onChange,
}: {
  action: ActionName
  steps: Step[]
  target: number | null
  onChange: (step: number | null) => void
}) {
  const root = rootCause(steps)?.id
  const forward = steps.filter((step) => step.compensates === null)
  const offered =
    action === 'compensate' ? forward.filter((step) => step.status === 'completed') : forward
  const label =
    action === 'compensate'
      ? 'Undo what came after'
      : action === 'skip'
        ? 'Step to skip'
        : 'Retry from'
  const word = (step: Step) =>
    step.id === root ? 'the step that failed' : status(step.status).word.toLowerCase()
  return (
    <Field label={label}>
      {(id) => (
        <select
          id={id}
          className="input"
          value={target ?? ''}
          onChange={(event) => onChange(event.target.value ? Number(event.target.value) : null)}
        >
          {(action === 'compensate' || target === null) && (
            <option value="">
              {action === 'compensate' ? 'nothing: undo all' : 'the step that failed'}
            </option>
          )}
          {offered.slice(-500).map((step) => (
            <option key={step.id} value={step.id}>
              {`${cut(step.name, 60)}${step.index === null ? '' : ` [${step.index}]`}, ${word(step)}`}
            </option>
          ))}
        </select>
      )}
    </Field>
  )
}

function EditField({
  action,
  edited,
  onEdited,
  text,
  onText,
  was,
  now,
  error,
  reads,
  step,
}: {
  action: ActionName
  edited: Edited
  onEdited: (edited: Edited) => void
  text: string | null
  onText: (text: string | null) => void
  was: unknown
  now: unknown
  error: string | null
  reads: boolean
  step: Step | null
}) {
  const skipping = action === 'skip'
  const label = skipping
    ? 'Output of the step'
    : edited === 'workflow'
      ? 'Input of the workflow'
      : 'Input of the step'
  const pretty = () => JSON.stringify(was ?? null, null, 2)
  return (
    <div>
      {!skipping && (
        <div className="code-head">
          <Segments
            label="Which input"
            value={edited}
            options={[
              { value: 'workflow', text: "Workflow's" },
              { value: 'step', text: "Step's" },
            ]}
            onChange={onEdited}
          />
          <span className="btns">
            <Segments
              label="Edit the input"
              value={text === null ? 'was' : 'edited'}
              options={[
                { value: 'was', text: 'As it was' },
                { value: 'edited', text: 'Edited' },
              ]}
              onChange={(value) => onText(value === 'edited' ? pretty() : null)}
            />
          </span>
        </div>
      )}
      {skipping && <p className="label gap-b">{label}</p>}
      {text === null && !skipping ? (
        <pre className="code short" role="group" tabIndex={0} aria-label={label}>
          {cut(pretty(), 4000, 200)}
        </pre>
      ) : (
        <>
          <JsonArea
            label={label}
            text={text ?? ''}
            onChange={onText}
            error={error}
            rows={skipping ? 4 : 7}
          />
          {!skipping && !error && <DiffView lines={jsonDiff(was, now)} label="What changed" />}
        </>
      )}
      {skipping && <p className="help">Empty: the step has no output.</p>}
      {!skipping && reads && (
        <p className="help any">
          {cut(step?.name ?? '', 60)} reads <code>$workflow.input</code>, so the workflow's input is
          what counts.
        </p>
      )}
    </div>
  )
}

const LOOK: Record<LineKind, { icon: IconName; tone: Tone }> = {
  keeps: { icon: 'completed', tone: 'completed' },
  runs: { icon: 'retry', tone: 'retry' },
  after: { icon: 'pending', tone: 'pending' },
  undoes: { icon: 'undo', tone: 'undo' },
  ends: { icon: 'cancelled', tone: 'cancelled' },
  pauses: { icon: 'suspended', tone: 'suspended' },
  warns: { icon: 'stuck', tone: 'retry' },
}

function PlanList({
  lines,
  checked,
  run,
  becomes,
  action,
}: {
  lines: Line[]
  checked: boolean
  run: number | undefined
  becomes: DryRun['becomes']
  action: ActionName
}) {
  return (
    <div>
      <div className="code-head">
        <span className="label">What will happen</span>
        <span className="grow" />
        {checked && (
          <span className="checked">
            <Icon name="check" size="s" />
            checked just now
          </span>
        )}
      </div>
      <ol className="card plan">
        {lines.map((line, at) => (
          <li key={at} className="note">
            <span className={`s-${LOOK[line.kind].tone} tone`}>
              <Icon name={LOOK[line.kind].icon} size="s" />
            </span>
            <span className="any">
              {line.name && (
                <b className="ink">
                  <bdi>{cut(line.name, 60)}</bdi>
                </b>
              )}{' '}
              {line.text}
            </span>
          </li>
        ))}
      </ol>
      <p className="help gap-t">
        {becomes
          ? `The instance becomes ${becomes.status}${becomes.compensation === 'none' ? '' : `, its undo ${becomes.compensation}`}. `
          : run && action === 'retry'
            ? `The instance becomes run ${run}. `
            : ''}
        If it moves before you confirm, nothing happens and this plan is made anew.
      </p>
    </div>
  )
}

/** Whether a task's definition reads the workflow's input: then the step's own hardly counts. */
function readsWorkflowInput(document: unknown, step: Step | null): boolean {
  const definition = step && lookUp(document, step.reference)
  return definition ? JSON.stringify(definition).includes('$workflow.input') : false
}

/** Names of the tasks that follow a step in its own list. */
function tasksAfter(document: unknown, step: Step | null): string[] {
  if (!step) return []
  const find = (list: GraphNode[]): GraphNode[] | null => {
    const at = list.findIndex((node) => node.reference === step.reference)
    if (at >= 0) return list.slice(at + 1)
    for (const node of list) {
      for (const below of [node.body, node.catch, ...(node.branches ?? [])]) {
        const found = below && find(below)
        if (found) return found
      }
    }
    return null
  }
  return (find(documentGraph(document)) ?? []).map((node) => node.name)
}
