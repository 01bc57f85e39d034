/** Choices kept per browser: theme, times, panel width. Everything else is in the address. */

import { useSyncExternalStore } from 'react'
import type { TimeStyle } from '../words/time'

export interface Preferences {
  theme: 'system' | 'light' | 'dark'
  times: TimeStyle
  panel: number
  namespace: string
}

const KEY = 'orchestrator.console'
const DEFAULTS: Preferences = { theme: 'system', times: 'relative', panel: 400, namespace: '' }

function load(): Preferences {
  try {
    return { ...DEFAULTS, ...JSON.parse(localStorage.getItem(KEY) ?? '{}') }
  } catch {
    // Storage may be off, or hold what an older release wrote.
    return DEFAULTS
  }
}

let current = load()
const listeners = new Set<() => void>()

export function setPreference<K extends keyof Preferences>(name: K, value: Preferences[K]): void {
  current = { ...current, [name]: value }
  try {
    localStorage.setItem(KEY, JSON.stringify(current))
  } catch {
    // The choice then lasts as long as the page.
  }
  applyTheme()
  for (const listener of listeners) listener()
}

export function usePreferences(): Preferences {
  return useSyncExternalStore(subscribe, () => current)
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** Set the theme on the page: the chosen one, or the system's. */
export function applyTheme(): void {
  const dark =
    typeof matchMedia === 'function' && matchMedia('(prefers-color-scheme: dark)').matches
  const theme = current.theme === 'system' ? (dark ? 'dark' : 'light') : current.theme
  document.documentElement.dataset.theme = theme
}

export function followSystemTheme(): void {
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', applyTheme)
}
