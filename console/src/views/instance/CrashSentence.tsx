/** What became of a lost attempt, in one sentence. */

import type { ReactNode } from 'react'
import type { Step } from '../../api/types'
import { Note } from '../../ui/basics'
import { Time } from '../../ui/clock'
import { crashStory } from '../../words/crash'

export function CrashSentence({
  step,
  number,
  children,
}: {
  step: Step
  number: number
  children?: ReactNode
}) {
  const story = crashStory(step, number)
  if (!story) return null
  return (
    <Note icon={children ? 'ghost' : 'lost'} tone="retry">
      {story.map((piece, at) =>
        piece.time !== undefined ? (
          <Time key={at} at={piece.time} fraction />
        ) : piece.strong ? (
          <b key={at} className="ink">
            <bdi>{piece.text}</bdi>
          </b>
        ) : (
          <span key={at}>{piece.text}</span>
        ),
      )}{' '}
      {children}
    </Note>
  )
}
