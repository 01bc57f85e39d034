/** What can be done with the chosen step. */

import type { Instance, Step } from '../../api/types'
import { Button } from '../../ui/basics'
import type { ActionName } from '../repair/actions'

const FINAL = ['completed', 'faulted', 'cancelled']

export function StepActions({
  instance,
  step,
  onAct,
}: {
  instance: Instance
  step: Step
  onAct: (action: ActionName, step: number) => void
}) {
  const ended = FINAL.includes(instance.status)
  const forward = step.compensates === null
  const canRetry =
    ended && instance.status !== 'completed' && instance.compensation === 'none' && forward
  const canSkip = forward && (step.status === 'waiting' || (canRetry && step.status === 'faulted'))
  return (
    <>
      {canRetry && (
        <Button small icon="retry" onClick={() => onAct('retry', step.id)}>
          Retry from here…
        </Button>
      )}
      {canSkip && (
        <Button small icon="skip" onClick={() => onAct('skip', step.id)}>
          Skip…
        </Button>
      )}
      {__API__.retryNow && step.retry_at && !step.ended_at && (
        <Button small icon="retry" onClick={() => onAct('retry-now', step.id)}>
          Try again now…
        </Button>
      )}
    </>
  )
}
