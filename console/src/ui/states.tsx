/** What a view shows while it has nothing: empty, loading, failed. */

import type { ReactNode } from 'react'
import { told } from '../api/problem'
import { Button, CopyButton } from './basics'
import { Icon } from './icons'

/** What would be here, and the command that brings it. */
export function Empty({
  title,
  children,
  command,
  action,
}: {
  title: string
  children?: ReactNode
  command?: string
  action?: ReactNode
}) {
  return (
    <div className="empty">
      <h2>{title}</h2>
      {children && <p>{children}</p>}
      {command && <Command text={command} />}
      {action}
    </div>
  )
}

export function Command({ text }: { text: string }) {
  return (
    <div className="command">
      <pre className="code wrap">{text}</pre>
      <CopyButton text={text} label="Copy the command" />
    </div>
  )
}

/** Rows of the height that will come. They show after 200 ms, so that quick answers do not flash. */
export function Loading({ rows = 8, label = 'Loading' }: { rows?: number; label?: string }) {
  return (
    <div className="loading" role="status" aria-label={label}>
      {Array.from({ length: rows }, (_, at) => (
        <div className="loading-row" key={at}>
          <span className="skeleton" style={{ width: `${[60, 82, 45, 70][at % 4]}%` }} />
        </div>
      ))}
    </div>
  )
}

export function Failed({ error, retry }: { error: unknown; retry?: () => void }) {
  const { title, detail, trace } = told(error)
  return (
    <div className="banner s-faulted" role="alert">
      <Icon name="faulted" />
      <div className="grow">
        <p className="t any">{title}</p>
        {detail && <p className="mid small any">{detail}</p>}
        {trace && (
          <p className="quiet small">
            Trace <code>{trace}</code> <CopyButton text={trace} label="Copy the trace id" />
          </p>
        )}
      </div>
      {retry && (
        <div className="btns">
          <Button small icon="retry" onClick={retry}>
            Try again
          </Button>
        </div>
      )}
    </div>
  )
}
