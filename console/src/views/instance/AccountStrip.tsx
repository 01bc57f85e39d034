/** Where the time of the instance went. */

import { useMemo } from 'react'
import type { Step } from '../../api/types'
import { account, SPENT, type Spent } from '../../layout/account'
import type { Tone } from '../../words/states'
import { span } from '../../words/time'

const TONES: Record<Spent, Tone> = {
  running: 'completed',
  lost: 'retry',
  backoff: 'retry',
  queued: 'pending',
  waiting: 'waiting',
  suspended: 'suspended',
  undoing: 'undo',
}

export function AccountStrip({ steps, total, now }: { steps: Step[]; total: number; now: number }) {
  const spent = useMemo(() => account(steps, now), [steps, now])
  const parts = SPENT.filter((each) => spent[each] >= 0.5)
  if (!parts.length) return null
  return (
    <div className="account">
      <div className="strip" aria-hidden="true">
        {parts.map((each) => (
          <i
            key={each}
            className={`s-${TONES[each]} ${look(each)}`}
            style={{ flexGrow: spent[each] }}
          />
        ))}
      </div>
      <p className="legend">
        <span>Where {span(total)} went</span>
        {parts.map((each) => (
          <span key={each} className={`s-${TONES[each]}`}>
            <i className={look(each)} /> {each} {span(spent[each])}
          </span>
        ))}
      </p>
    </div>
  )
}

const look = (each: Spent): string => (each === 'lost' ? 'ghost' : each === 'backoff' ? 'thin' : '')
