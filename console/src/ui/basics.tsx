/** The small components of the kit: buttons, states, tags, ids, notes. */

import { type ComponentProps, type ReactNode, useEffect, useRef, useState } from 'react'
import { cut } from '../words/numbers'
import type { State, Tone } from '../words/states'
import { Icon, type IconName } from './icons'

type ButtonProps = ComponentProps<'button'> & {
  icon?: IconName
  kind?: 'primary' | 'danger' | 'quiet'
  small?: boolean
  busy?: boolean
}

export function Button({
  icon,
  kind,
  small,
  busy,
  children,
  className = '',
  ...rest
}: ButtonProps) {
  const classes = `btn ${kind ?? ''} ${small ? 's' : ''} ${className}`
  return (
    <button type="button" {...rest} className={classes} disabled={rest.disabled || busy}>
      {busy ? <Icon name="running" /> : icon && <Icon name={icon} />}
      {children}
    </button>
  )
}

/** A button of an icon alone; its label is read aloud and shown as a tip. */
export function IconButton({
  icon,
  label,
  small,
  kind,
  className = '',
  ...rest
}: Omit<ButtonProps, 'children'> & { icon: IconName; label: string }) {
  const classes = `btn icon ${small ? 's' : ''} ${kind ?? ''} ${className}`
  return (
    <button type="button" title={label} aria-label={label} {...rest} className={classes}>
      <Icon name={icon} />
    </button>
  )
}

/** A state in a table: icon and word. */
export function StateText({ state, children }: { state: State; children?: ReactNode }) {
  return (
    <span className={`st s-${state.tone}`}>
      <Icon name={state.icon} />
      {children ?? state.word}
    </span>
  )
}

/** A state in a bar or panel. */
export function StateChip({ state, children }: { state: State; children?: ReactNode }) {
  return (
    <span className={`chip s-${state.tone}`}>
      <Icon name={state.icon} />
      {children ?? state.word}
    </span>
  )
}

/** Text from outside: isolated, so that its direction changes nothing around it. */
export function Outside({
  text,
  most,
  className = '',
}: {
  text: string
  most?: number
  className?: string
}) {
  return (
    <bdi className={className} title={text.length > 1000 ? `${text.slice(0, 1000)}…` : text}>
      {most ? cut(text, most) : text}
    </bdi>
  )
}

/** A name that is cut in the middle as the place requires: its end often tells it apart. */
export function MiddleCut({ text, tail = 10 }: { text: string; tail?: number }) {
  const letters = [...text]
  if (letters.length <= tail * 2) return <Outside text={text} className="cut" />
  const shown = letters.length > 400 ? [...letters.slice(0, 200), ...letters.slice(-200)] : letters
  return (
    <span className="middle-cut" title={text.slice(0, 1000)}>
      <bdi className="head">{shown.slice(0, -tail).join('')}</bdi>
      <bdi className="tail">{shown.slice(-tail).join('')}</bdi>
    </span>
  )
}

/** A label of an instance; a click filters by it. */
export function Tag({
  name,
  value,
  onClick,
}: {
  name: string
  value: string
  onClick?: () => void
}) {
  const content = (
    <span>
      <em>
        <bdi>{cut(name, 40)}</bdi>=
      </em>
      <bdi>{cut(value, 40)}</bdi>
    </span>
  )
  const title = `${name}=${value}`
  if (!onClick) {
    return (
      <span className="tag" title={title}>
        {content}
      </span>
    )
  }
  return (
    <button type="button" className="tag" title={`Filter by ${title}`} onClick={onClick}>
      {content}
    </button>
  )
}

/** An id that is cut in the middle, with all of it in reach. */
export function Id({ id, copy = true }: { id: string; copy?: boolean }) {
  const letters = [...id]
  return (
    <span className="id" title={id.slice(0, 1000)}>
      <bdi className="head">{letters.slice(0, -8).join('')}</bdi>
      <bdi className="tail">{letters.slice(-8).join('')}</bdi>
      {copy && <CopyButton text={id} label="Copy" />}
    </span>
  )
}

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  useEffect(() => () => clearTimeout(timer.current), [])
  const copy = async () => {
    await writeClipboard(text)
    setCopied(true)
    clearTimeout(timer.current)
    timer.current = setTimeout(() => setCopied(false), 1500)
  }
  return (
    <IconButton
      icon={copied ? 'check' : 'copy'}
      label={copied ? 'Copied' : label}
      small
      kind="quiet"
      onClick={(event) => {
        event.preventDefault()
        event.stopPropagation()
        void copy()
      }}
    />
  )
}

export async function writeClipboard(text: string): Promise<void> {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text)
    return
  }
  // Pages of a plain http address have no clipboard of their own.
  const area = document.createElement('textarea')
  area.value = text
  document.body.append(area)
  area.select()
  document.execCommand('copy')
  area.remove()
}

export function Note({
  icon,
  tone,
  children,
}: {
  icon: IconName
  tone?: Tone
  children: ReactNode
}) {
  return (
    <p className={`note ${tone ? `s-${tone}` : ''}`}>
      <Icon name={icon} />
      <span>{children}</span>
    </p>
  )
}

export function Banner({
  icon,
  tone,
  title,
  children,
  actions,
}: {
  icon: IconName
  tone: Tone
  title: ReactNode
  children?: ReactNode
  actions?: ReactNode
}) {
  return (
    <div className={`banner s-${tone}`} role="status">
      <Icon name={icon} />
      <div className="grow">
        <p className="t any">{title}</p>
        {children && <p className="mid small any">{children}</p>}
      </div>
      {actions && <div className="btns">{actions}</div>}
    </div>
  )
}

/** A choice of two or three, all in sight. */
export function Segments<T extends string>({
  label,
  value,
  options,
  onChange,
}: {
  label: string
  value: T
  options: { value: T; text: ReactNode }[]
  onChange: (value: T) => void
}) {
  return (
    <fieldset className="seg" aria-label={label}>
      {options.map((option) => (
        <button
          key={option.value}
          type="button"
          aria-pressed={option.value === value}
          onClick={() => onChange(option.value)}
        >
          {option.text}
        </button>
      ))}
    </fieldset>
  )
}

export interface TabOption<T extends string> {
  value: T
  text: string
  count?: number | string
}

/** Parts of one page. */
export function Tabs<T extends string>({
  label,
  value,
  options,
  onChange,
  side,
}: {
  label: string
  value: T
  options: TabOption<T>[]
  onChange: (value: T) => void
  side?: ReactNode
}) {
  // If none is chosen, the first one has the focus's place.
  const reached = options.some((option) => option.value === value) ? value : options[0]?.value
  const move = (step: number) => {
    const at = options.findIndex((option) => option.value === value)
    const next = options[(at + step + options.length) % options.length]
    if (next) onChange(next.value)
  }
  return (
    <div className="tabs">
      <div
        role="tablist"
        aria-label={label}
        onKeyDown={(event) => {
          if (event.key === 'ArrowRight') move(1)
          if (event.key === 'ArrowLeft') move(-1)
        }}
      >
        {options.map((option) => (
          <button
            key={option.value}
            type="button"
            role="tab"
            aria-selected={option.value === value}
            tabIndex={option.value === reached ? 0 : -1}
            onClick={() => onChange(option.value)}
          >
            {option.text}
            {option.count !== undefined && <span className="n-count">{option.count}</span>}
          </button>
        ))}
      </div>
      {side && <span className="side">{side}</span>}
    </div>
  )
}

/** A checkbox with its whole row as the target. */
export function Check({
  checked,
  mixed,
  label,
  onChange,
}: {
  checked: boolean
  mixed?: boolean
  label: string
  onChange: (checked: boolean, shift: boolean) => void
}) {
  return (
    <input
      type="checkbox"
      className={`check ${mixed ? 'some' : ''}`}
      aria-label={label}
      checked={checked}
      ref={(element) => {
        if (element) element.indeterminate = Boolean(mixed)
      }}
      onClick={(event) => event.stopPropagation()}
      onChange={(event) =>
        onChange(event.target.checked, (event.nativeEvent as MouseEvent).shiftKey === true)
      }
    />
  )
}
