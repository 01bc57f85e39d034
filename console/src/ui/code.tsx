/** JSON and plain text from outside: previewed, searched, copied, downloaded. */

import { useVirtualizer } from '@tanstack/react-virtual'
import { type ReactNode, useMemo, useRef, useState } from 'react'
import { bytes, count } from '../words/numbers'
import { CopyButton, IconButton } from './basics'

/** Up to this many characters a value is highlighted. */
const HIGHLIGHTED = 100_000
/** Up to this many its lines are windowed; beyond, only the beginning is shown. */
const SHOWN = 5_000_000
const BEGINNING = 65_536
/** A longer line is cut: browsers lay out a line of a megabyte very slowly. */
const LONGEST_LINE = 2000
/** More lines than these are windowed. */
const MOST_LINES = 300
const LINE = 18

export function Json({ value, name, label }: { value: unknown; name: string; label?: string }) {
  const text = useMemo(() => JSON.stringify(value, null, 2) ?? 'null', [value])
  return <Code text={text} name={`${name}.json`} label={label} json />
}

/** `name`: of the file that a download makes. */
export function Code({
  text,
  name,
  label,
  json,
}: {
  text: string
  name: string
  label?: string
  json?: boolean
}) {
  const [wrap, setWrap] = useState(true)
  const [find, setFind] = useState('')
  const shown = text.length > SHOWN ? text.slice(0, BEGINNING) : text
  const lines = useMemo(() => split(shown), [shown])
  const hits = useMemo(() => (find ? hitsIn(lines, find) : []), [lines, find])
  const long = lines.length > 12 || text.length > 2000
  return (
    <div className="code-box">
      <div className="code-head">
        {label && <span>{label}</span>}
        <span className="quiet num">{text.length > 1000 ? bytes(text.length) : ''}</span>
        {long && (
          <input
            className="input find"
            aria-label={`Search in ${label ?? name}`}
            placeholder="Search"
            value={find}
            onChange={(event) => setFind(event.target.value)}
          />
        )}
        {find && <span className="quiet num">{count(hits.length)} found</span>}
        <span className="btns">
          {long && (
            <IconButton
              icon="wrap"
              label={wrap ? 'Do not wrap lines' : 'Wrap lines'}
              small
              kind="quiet"
              aria-pressed={wrap}
              onClick={() => setWrap(!wrap)}
            />
          )}
          <CopyButton text={text} label={`Copy ${label ?? ''}`} />
          <IconButton
            icon="download"
            label="Download"
            small
            kind="quiet"
            onClick={() => download(text, name)}
          />
        </span>
      </div>
      {lines.length > MOST_LINES ? (
        <WindowedLines lines={lines} find={find} hits={hits} label={label ?? name} />
      ) : (
        <pre
          className={`code ${wrap ? 'wrap' : ''}`}
          role="group"
          tabIndex={0}
          aria-label={label ?? name}
        >
          {json && !find && shown.length <= HIGHLIGHTED
            ? highlighted(lines)
            : lines.map((line, at) => (
                <span key={at}>
                  {marked(line, find)}
                  {'\n'}
                </span>
              ))}
        </pre>
      )}
      {text.length > SHOWN && (
        <p className="help">
          Only the first {bytes(BEGINNING)} of {bytes(text.length)} are shown; a download has all.
        </p>
      )}
    </div>
  )
}

function split(text: string): string[] {
  return text
    .split('\n')
    .map((line) =>
      line.length > LONGEST_LINE
        ? `${line.slice(0, LONGEST_LINE)}… ${count(line.length - LONGEST_LINE)} more characters`
        : line,
    )
}

function hitsIn(lines: string[], find: string): number[] {
  const lower = find.toLowerCase()
  return lines.flatMap((line, at) => (line.toLowerCase().includes(lower) ? [at] : []))
}

function WindowedLines({
  lines,
  find,
  hits,
  label,
}: {
  lines: string[]
  find: string
  hits: number[]
  label: string
}) {
  const box = useRef<HTMLDivElement>(null)
  const rows = useVirtualizer({
    count: lines.length,
    getScrollElement: () => box.current,
    estimateSize: () => LINE,
    overscan: 20,
  })
  const at = useRef(-1)
  const next = () => {
    at.current = (at.current + 1) % Math.max(1, hits.length)
    const line = hits[at.current]
    if (line !== undefined) rows.scrollToIndex(line, { align: 'center' })
  }
  return (
    <>
      {hits.length > 0 && (
        <button type="button" className="link bare small" onClick={next}>
          Next match
        </button>
      )}
      <section className="code scroll windowed" ref={box} tabIndex={0} aria-label={label}>
        <div className="virtual" style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map((item) => (
            <div
              key={item.key}
              className="virtual-row"
              style={{ transform: `translateY(${item.start}px)` }}
            >
              {marked(lines[item.index] ?? '', find)}
            </div>
          ))}
        </div>
      </section>
    </>
  )
}

function marked(line: string, find: string): ReactNode {
  if (!find) return line
  const at = line.toLowerCase().indexOf(find.toLowerCase())
  if (at < 0) return line
  return (
    <>
      {line.slice(0, at)}
      <mark>{line.slice(at, at + find.length)}</mark>
      {line.slice(at + find.length)}
    </>
  )
}

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/g

function highlighted(lines: string[]): ReactNode {
  return lines.map((line, at) => (
    <span key={at}>
      {tokensOf(line)}
      {'\n'}
    </span>
  ))
}

function tokensOf(line: string): ReactNode[] {
  const out: ReactNode[] = []
  let end = 0
  for (const match of line.matchAll(TOKEN)) {
    const [all, text, colon, word] = match
    if (match.index > end) out.push(line.slice(end, match.index))
    const kind = text ? (colon ? 'k' : 's') : word ? 'c' : 'm'
    out.push(
      <span key={match.index} className={kind}>
        {text ?? all}
      </span>,
    )
    if (colon) out.push(colon)
    end = match.index + all.length
  }
  out.push(line.slice(end))
  return out
}

/** Give the reader a file. Its kind is one that no browser runs. */
export function download(text: string, name: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: 'application/octet-stream' }))
  const link = document.createElement('a')
  link.href = url
  link.download = name.replace(/[^\w.-]+/g, '_').slice(0, 120)
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}
