/** A difference, line by line. */

import type { DiffLine } from '../layout/jsonDiff'

const SIGN = { same: ' ', added: '+', removed: '-', gap: ' ' } as const
const CLASS = { same: '', added: 'add', removed: 'del', gap: 'gap' } as const

export function DiffView({ lines, label }: { lines: DiffLine[]; label: string }) {
  return (
    <section className="diff scroll" aria-label={label} tabIndex={0}>
      {lines.map((line, at) => (
        <div key={at} className={CLASS[line.kind]}>
          <i>{line.after ?? line.before ?? ''}</i>
          <span>{SIGN[line.kind]}</span>
          <span className={line.kind === 'gap' ? 'quiet' : ''}>{line.text}</span>
        </div>
      ))}
    </section>
  )
}
