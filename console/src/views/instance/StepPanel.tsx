/** The side panel: one step with every attempt, its payloads and its definition. */

import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { type ReactNode, useState } from 'react'
import { me, step as stepQuery } from '../../api/queries'
import type { Attempt, Step } from '../../api/types'
import { lookUp } from '../../layout/documentGraph'
import { IconButton, Id, Note, StateChip, StateText, Tabs } from '../../ui/basics'
import { Time } from '../../ui/clock'
import { Code, Json } from '../../ui/code'
import { Icon } from '../../ui/icons'
import { cut } from '../../words/numbers'
import { attempt as attemptState, LATE, status, UNKNOWN } from '../../words/states'
import { micros, span } from '../../words/time'
import { asError, type ErrorValue, errorKind } from '../../words/why'
import { CrashSentence } from './CrashSentence'
import { turnOf } from './model'

type PanelTab = 'attempts' | 'data' | 'definition'

interface StepPanelProps {
  instance: string
  step: Step
  steps: Step[]
  document: unknown
  onClose: () => void
  onSelect: (step: number) => void
  actions?: ReactNode
}

export function StepPanel({
  instance,
  step: summary,
  steps,
  document,
  onClose,
  onSelect,
  actions,
}: StepPanelProps) {
  const [tab, setTab] = useState<PanelTab>('attempts')
  // The list has no tracebacks and payloads: they are read for the step that is looked at.
  const step = { ...summary, ...useQuery(stepQuery(instance, summary.id)).data }
  const state = status(step.status)
  const undoneBy = steps.find((each) => each.compensates === step.id)
  const undoes = steps.find((each) => each.id === step.compensates)
  return (
    <>
      <PanelHead
        name={step.name}
        turn={turnOf(step)}
        reference={step.reference}
        onClose={onClose}
      />
      <div className="chips">
        <StateChip state={state} />
        {undoneBy?.status === 'completed' && (
          <span className="chip s-undo">
            <Icon name="undo" />
            Undone
          </span>
        )}
        {step.outcome === 'unknown' && <StateChip state={UNKNOWN}>Outcome unknown</StateChip>}
        {step.skipped && <span className="chip plain s-pending">Skipped</span>}
        <span className="chip plain s-pending">{step.kind}</span>
        {step.attempts.length > 1 && (
          <span className="chip s-retry">
            <Icon name="retry" />
            {step.attempts.length} attempts
          </span>
        )}
      </div>
      {actions && <div className="btns panel-actions">{actions}</div>}
      <Tabs
        label="Parts of the step"
        value={tab}
        onChange={setTab}
        options={[
          { value: 'attempts', text: 'Attempts', count: step.attempts.length },
          { value: 'data', text: 'Input and output' },
          { value: 'definition', text: 'Definition' },
        ]}
      />
      <section className="inside scroll grow" tabIndex={0} aria-label="Step">
        {tab === 'attempts' && (
          <>
            <Attempts step={step} instance={instance} />
            <Facts step={step} undoneBy={undoneBy} undoes={undoes} onSelect={onSelect} />
          </>
        )}
        {tab === 'data' && <Payloads name={`${instance}-${step.id}`} step={step} />}
        {tab === 'definition' && <Definition document={document} reference={step.reference} />}
      </section>
    </>
  )
}

export function PanelHead({
  name,
  turn = '',
  reference,
  onClose,
}: {
  name: string
  turn?: string
  reference: string
  onClose: () => void
}) {
  return (
    <header>
      <div className="grow">
        <h2 className="any">
          <bdi>{cut(name, 120)}</bdi>
          {turn}
        </h2>
        <p className="mono quiet any">{cut(reference, 300, 60)}</p>
      </div>
      <IconButton icon="close" label="Close (Esc)" small kind="quiet" onClick={onClose} />
    </header>
  )
}

function Attempts({ step, instance }: { step: Step; instance: string }) {
  const newest = step.attempts.at(-1)?.number
  if (!step.attempts.length) {
    return <OwnError step={step} />
  }
  return (
    <>
      {step.attempts.toReversed().map((attempt) => (
        <AttemptBox
          key={attempt.id}
          step={step}
          attempt={attempt}
          instance={instance}
          open={attempt.number === newest || attempt.state === 'lost' || attempt.state === 'failed'}
        />
      ))}
    </>
  )
}

function OwnError({ step }: { step: Step }) {
  const error = asError(step.error)
  if (!error) return <p className="quiet">A {step.kind} has no attempts: it runs in the engine.</p>
  return <ErrorBlock error={error} />
}

function AttemptBox({
  step,
  attempt,
  instance,
  open,
}: {
  step: Step
  attempt: Attempt
  instance: string
  open: boolean
}) {
  const state = attemptState(attempt.state)
  const ghost = attempt.state === 'lost' || attempt.state === 'withdrawn'
  const error = asError(attempt.error)
  return (
    <details className={`attempt ${ghost ? 'ghost' : ''}`} open={open}>
      <summary>
        <StateText state={state} />
        <span className="quiet">attempt {attempt.number}</span>
        {attempt.late && <StateText state={LATE} />}
        <span className="grow" />
        <span className="num mid">{ran(attempt)}</span>
        <Icon name="down" size="s" />
      </summary>
      <div className="inner">
        {attempt.state === 'lost' ? (
          <CrashSentence step={step} number={attempt.number} />
        ) : (
          error && <ErrorBlock error={error} />
        )}
        <dl className="kv">
          {attempt.worker && (
            <Fact name="Worker">
              <bdi className="any">{attempt.worker}</bdi>
              {attempt.process && <span className="quiet num">process {attempt.process}</span>}
            </Fact>
          )}
          <Fact name="Task">
            <bdi className="any mono">{attempt.task}</bdi>
          </Fact>
          <Fact name="Queue">
            <bdi className="any">{attempt.queue}</bdi>
            <span className="quiet num">{waited(attempt)}</span>
          </Fact>
          {attempt.claimed_at && (
            <Fact name="Ran">
              <span className="num">
                <Time at={attempt.claimed_at} fraction />
                {attempt.ended_at && (
                  <>
                    {' to '}
                    <Time at={attempt.ended_at} fraction />
                  </>
                )}
              </span>
            </Fact>
          )}
          {attempt.progress !== null && attempt.progress !== undefined && (
            <Fact name="Progress">
              <bdi className="any mono">{cut(JSON.stringify(attempt.progress), 200)}</bdi>
            </Fact>
          )}
          <Fact name="Celery id">
            <Id id={attempt.id} />
          </Fact>
        </dl>
        <Links attempt={attempt} instance={instance} />
        {attempt.traceback && (
          <Code text={attempt.traceback} name={`traceback-${attempt.id}.txt`} label="Traceback" />
        )}
      </div>
    </details>
  )
}

const ran = (attempt: Attempt): string =>
  attempt.claimed_at && attempt.ended_at
    ? span(micros(attempt.ended_at) - micros(attempt.claimed_at))
    : ''

const waited = (attempt: Attempt): string =>
  attempt.claimed_at
    ? `waited ${span(micros(attempt.claimed_at) - micros(attempt.created_at))}`
    : ''

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  )
}

/** Only http(s) addresses become links: an address from outside may be `javascript:`. */
export const isWeb = (url: string | null | undefined): url is string =>
  typeof url === 'string' && /^https?:\/\//i.test(url)

function Links({ attempt, instance }: { attempt: Attempt; instance: string }) {
  const templates = useQuery(me).data?.links
  const fill = (template: string | null | undefined) =>
    template
      ?.replaceAll('{instance}', encodeURIComponent(instance))
      .replaceAll('{attempt}', encodeURIComponent(attempt.id))
  const links: [string, string | null | undefined][] = [
    ['Flower', attempt.flower_url],
    ['Logs', fill(templates?.logs)],
    ['Trace', fill(templates?.traces)],
  ]
  const shown = links.flatMap(([name, url]) => (isWeb(url) ? [{ name, url }] : []))
  if (!shown.length) return null
  return (
    <div className="btns">
      {shown.map(({ name, url }) => (
        <a key={name} className="btn s" href={url} target="_blank" rel="noreferrer noopener">
          <Icon name="external" />
          {name}
        </a>
      ))}
    </div>
  )
}

export function ErrorBlock({ error }: { error: ErrorValue }) {
  const kind = errorKind(error.type)
  return (
    <p className="note s-faulted">
      <Icon name="faulted" />
      <span className="any">
        <b className="ink">
          <bdi>{cut(error.title ?? (kind || 'Error'), 300)}</bdi>
        </b>
        {error.detail && (
          <>
            {': '}
            <bdi>{cut(error.detail, 4000)}</bdi>
          </>
        )}
        {kind && (
          <span className="quiet">
            {' '}
            ({cut(kind, 80)}
            {error.status ? `, ${error.status}` : ''})
          </span>
        )}
      </span>
    </p>
  )
}

function Facts({
  step,
  undoneBy,
  undoes,
  onSelect,
}: {
  step: Step
  undoneBy: Step | undefined
  undoes: Step | undefined
  onSelect: (step: number) => void
}) {
  return (
    <div className="facts">
      {step.idempotency_key && (
        <>
          <dl className="kv">
            <Fact name="Idempotency">
              <Id id={step.idempotency_key} />
            </Fact>
          </dl>
          <p className="quiet small">One key for every attempt of the step.</p>
        </>
      )}
      {step.child && (
        <Note icon="run">
          Started the sub-workflow{' '}
          <Link className="link mono" to="/instances/$id" params={{ id: step.child }}>
            {step.child}
          </Link>
        </Note>
      )}
      {step.skipped && (
        <Note icon="skip">
          Skipped by <bdi>{step.skipped.by ?? 'a person'}</bdi>
          {step.skipped.reason && (
            <>
              : <bdi className="any">{step.skipped.reason}</bdi>
            </>
          )}
        </Note>
      )}
      {undoneBy && (
        <Note icon="undo" tone="undo">
          Undone by{' '}
          <button type="button" className="link bare" onClick={() => onSelect(undoneBy.id)}>
            {undoneBy.attempts.at(-1)?.task.split('.').at(-1) ?? `step ${undoneBy.id}`}
          </button>
          {undoneBy.ended_at && (
            <>
              {' at '}
              <Time at={undoneBy.ended_at} fraction />
            </>
          )}
        </Note>
      )}
      {undoes && (
        <Note icon="undo" tone="undo">
          Undoes{' '}
          <button type="button" className="link bare" onClick={() => onSelect(undoes.id)}>
            {undoes.name}
          </button>
        </Note>
      )}
    </div>
  )
}

function Payloads({ name, step: own }: { name: string; step: Step }) {
  return (
    <>
      {own.arguments !== null && own.arguments !== undefined && (
        <Json value={own.arguments} name={`${name}-arguments`} label="Arguments" />
      )}
      <Json value={own.input} name={`${name}-input`} label="Input" />
      <Json value={own.output} name={`${name}-output`} label="Output" />
      {own.error !== null && <Json value={own.error} name={`${name}-error`} label="Error" />}
    </>
  )
}

export function Definition({ document, reference }: { document: unknown; reference: string }) {
  const value = lookUp(document, reference)
  if (value === undefined) return <p className="quiet">The document has nothing at {reference}.</p>
  return <Json value={value} name="definition" label="As deployed" />
}
