/** The keyboard: single keys, and two after each other such as `g i`. */

import { useEffect } from 'react'

export interface Key {
  /** Such as `j`, `g i`, `Ctrl+k`, `Shift+x`. */
  keys: string
  does: string
  group: string
  run: (event: KeyboardEvent) => void
  /** It also works while text is typed. */
  always?: boolean
}

const active: Key[][] = []
let first: string | null = null
let forget: ReturnType<typeof setTimeout> | undefined

/** The name of a pressed key, as `Key.keys` spells it. */
export function spelled(event: KeyboardEvent): string {
  const name = event.key.length === 1 ? event.key : event.key
  const ctrl = event.ctrlKey || event.metaKey
  const shift = event.shiftKey && /^[a-z]$/i.test(name)
  const letter = shift || ctrl ? name.toLowerCase() : name
  return `${ctrl ? 'Ctrl+' : ''}${shift ? 'Shift+' : ''}${letter}`
}

function typing(event: KeyboardEvent): boolean {
  const target = event.target
  if (!(target instanceof HTMLElement)) return false
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)
}

/** A dialog or menu has the keyboard to itself. */
const covered = (): boolean => document.querySelector('.dialog, [role="menu"]') !== null

/** Keys that always work are taken before anything on the page: a menu keeps letters for itself. */
function handleFirst(event: KeyboardEvent): void {
  if (event.isComposing || event.altKey || first !== null) return
  const pressed = spelled(event)
  const found = active
    .flat()
    .reverse()
    .find((key) => key.always && key.keys === pressed)
  if (!found) return
  event.preventDefault()
  event.stopPropagation()
  found.run(event)
}

export function handle(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.isComposing || event.altKey) return
  if (typing(event) || covered()) return
  const pressed = spelled(event)
  const both = first === null ? pressed : `${first} ${pressed}`
  const known = active.flat().reverse()
  const found = known.find((key) => key.keys === both) ?? known.find((key) => key.keys === pressed)
  clearTimeout(forget)
  first = null
  if (found) {
    event.preventDefault()
    found.run(event)
    return
  }
  if (known.some((key) => key.keys.startsWith(`${pressed} `))) {
    first = pressed
    forget = setTimeout(() => {
      first = null
    }, 1200)
  }
}

let listening = false

/** Keys that work while a component is shown; later ones win. */
export function useKeys(keys: Key[]): void {
  useEffect(() => {
    if (!listening) {
      document.addEventListener('keydown', handleFirst, true)
      document.addEventListener('keydown', handle)
      listening = true
    }
    active.push(keys)
    return () => {
      const at = active.indexOf(keys)
      if (at >= 0) active.splice(at, 1)
    }
  })
}

/** Every key that works now, for the list of keys. */
export const activeKeys = (): Key[] => active.flat()
