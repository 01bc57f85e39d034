/** What the reader must know first: the fault and its root cause, why it waits, what was lost. */

import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { deadLetters, why as whyQuery } from '../../api/queries'
import type { DeadLetter, Instance, Step } from '../../api/types'
import { Banner, Button, Note } from '../../ui/basics'
import { Age, Told, Until, useNow } from '../../ui/clock'
import type { IconName } from '../../ui/icons'
import { Command } from '../../ui/states'
import { counted, cut } from '../../words/numbers'
import type { Tone } from '../../words/states'
import { micros, span } from '../../words/time'
import {
  asError,
  type Cause,
  type CauseTone,
  errorKind,
  ordered,
  sentence,
  tone,
} from '../../words/why'
import type { ActionName } from '../repair/actions'
import { CrashSentence } from './CrashSentence'

interface BannersProps {
  instance: Instance
  steps: Step[]
  cause: Step | null
  select: (step: number | undefined) => void
  onUndo?: () => void
  onAct?: (action: ActionName, step?: number) => void
}

export function Banners(props: BannersProps) {
  const { instance, steps, select } = props
  const lost = steps.flatMap((step) =>
    step.attempts
      .filter((each) => each.state === 'lost')
      .map((each) => ({ step, number: each.number })),
  )
  return (
    <>
      {instance.status === 'faulted' && <FaultBanner {...props} />}
      <OpenLetters {...props} />
      <Why {...props} />
      {lost.slice(0, 3).map(({ step, number }) => (
        <CrashSentence key={`${step.id} ${number}`} step={step} number={number}>
          <button type="button" className="link bare" onClick={() => select(step.id)}>
            Show
          </button>
        </CrashSentence>
      ))}
      {lost.length > 3 && (
        <Note icon="ghost" tone="retry">
          {counted(lost.length - 3, 'more attempt')} were lost.
        </Note>
      )}
    </>
  )
}

function FaultBanner({ instance, steps, cause, select, onUndo }: BannersProps) {
  const error = asError(instance.error)
  const name = cause?.name
  const words = error?.detail ?? error?.title ?? 'an error without words'
  return (
    <Banner
      icon="faulted"
      tone="faulted"
      title={
        <>
          {name && (
            <>
              <bdi>{cut(name, 80)}</bdi> faulted:{' '}
            </>
          )}
          <bdi>{cut(words, 600)}</bdi>
        </>
      }
      actions={
        <>
          {cause && (
            <Button small onClick={() => select(cause.id)}>
              Show the step
            </Button>
          )}
          {onUndo && (
            <Button small onClick={onUndo}>
              Undo lane
            </Button>
          )}
        </>
      }
    >
      <bdi>{faultDetail(error, cause)}</bdi> {undoWords(instance, steps)}
    </Banner>
  )
}

function faultDetail(error: ReturnType<typeof asError>, cause: Step | null): string {
  const kind = errorKind(error?.type)
  const title = error?.detail && error.title ? error.title : ''
  const type = [kind, error?.status].filter(Boolean).join(', ')
  const attempt = cause?.attempts.at(-1)
  const where = attempt?.worker ? ` in attempt ${attempt.number} on ${attempt.worker}` : ''
  const what = [cut(title, 120), type && `(${type})`].filter(Boolean).join(' ')
  return what || where ? `${what}${where}.` : ''
}

function undoWords(instance: Instance, steps: Step[]): string {
  const undo = steps.filter((step) => step.compensates !== null)
  if (instance.compensation === 'none')
    return 'Nothing was undone: the workflow holds for a person.'
  if (instance.compensation === 'failed')
    return 'A step that undoes gave up, and waits for a person.'
  const times = undo
    .flatMap((step) => [step.started_at, step.ended_at])
    .filter((each) => each !== null)
  const took = times.length > 1 ? micros(times.at(-1) ?? '') - micros(times[0] ?? '') : 0
  const words = counted(undo.length, 'step')
  if (instance.compensation === 'running') return `${words} with a compensation: being undone now.`
  return `${words} with a compensation ${undo.length === 1 ? 'was' : 'were'} then undone, in ${span(took)}.`
}

function OpenLetters({ instance, onAct }: BannersProps) {
  const query = useQuery({
    ...deadLetters(instance.id),
    enabled: instance.compensation === 'failed' || instance.status === 'faulted',
  })
  return (query.data?.items ?? []).map((letter) => (
    <LetterBanner key={letter.id} letter={letter} onAct={onAct} />
  ))
}

function LetterBanner({ letter, onAct }: { letter: DeadLetter; onAct: BannersProps['onAct'] }) {
  const error = asError(letter.error)
  const name = letter.reference
    ?.replace(/\/metadata\/compensate$/, '')
    .split('/')
    .at(-1)
  const title =
    letter.reason === 'compensation'
      ? `The undo of ${name ?? `step ${letter.step}`} gave up and waits for a person`
      : `${name ?? `Step ${letter.step}`} lost as many attempts as it may`
  return (
    <Banner
      icon="inbox"
      tone="faulted"
      title={cut(title, 200)}
      actions={
        onAct && (
          <>
            <Button small icon="retry" onClick={() => onAct('letter-retry', letter.step)}>
              Try again…
            </Button>
            <Button small icon="check" onClick={() => onAct('letter-resolve', letter.step)}>
              Resolve by hand…
            </Button>
          </>
        )
      }
    >
      <bdi>{cut([error?.title, error?.detail].filter(Boolean).join(': '), 600)}</bdi>
    </Banner>
  )
}

const LOOK: Record<CauseTone, { icon: IconName; tone?: Tone }> = {
  alarm: { icon: 'stuck', tone: 'retry' },
  soon: { icon: 'retry', tone: 'retry' },
  calm: { icon: 'waiting' },
}

const SHOWN = 4

/** Why an open instance stands where it stands; what has ended says so in its banner. */
function Why({ instance, select }: BannersProps) {
  const now = useNow()
  const open = !['completed', 'faulted', 'cancelled'].includes(instance.status)
  const moving = open || instance.compensation === 'running'
  const query = useQuery({ ...whyQuery(instance.id), enabled: moving })
  const causes = ordered(query.data?.causes ?? [], now).filter((cause) => cause.kind !== 'ended')
  if (!moving) return null
  return (
    <>
      {causes.slice(0, SHOWN).map((cause, at) => (
        <WhyNote key={at} cause={cause} tone={tone(cause, now)} onSelect={select} />
      ))}
      {causes.length > SHOWN && (
        <p className="quiet small">and {causes.length - SHOWN} more causes</p>
      )}
    </>
  )
}

function WhyNote({
  cause,
  tone: toneOf,
  onSelect,
}: {
  cause: Cause
  tone: CauseTone
  onSelect: (step: number | undefined) => void
}) {
  const look = LOOK[toneOf]
  const name = cause.reference?.split('/').at(-1)
  const content = (
    <>
      {name && (
        <>
          <b className="ink">
            <bdi>{cut(name, 60)}</bdi>
          </b>
          {': '}
        </>
      )}
      <bdi>
        <Told text={cut(sentence(cause.message), 600)} />
      </bdi>
      {cause.until && (
        <>
          {', '}
          <Until at={cause.until} />
        </>
      )}
      {cause.since && !cause.until && (
        <span className="quiet">
          {', for '}
          <Age since={cause.since} />
        </span>
      )}{' '}
      {cause.instance && (
        <>
          <Link className="link" to="/instances/$id" params={{ id: cause.instance }}>
            Open it
          </Link>{' '}
        </>
      )}
      {cause.step && (
        <button
          type="button"
          className="link bare"
          onClick={() => onSelect(cause.step ?? undefined)}
        >
          Show
        </button>
      )}
    </>
  )
  if (toneOf === 'alarm') {
    return (
      <Banner icon="stuck" tone="retry" title={content}>
        {cause.command && <Command text={cause.command} />}
      </Banner>
    )
  }
  return (
    <Note icon={look.icon} tone={look.tone}>
      {content}
    </Note>
  )
}
