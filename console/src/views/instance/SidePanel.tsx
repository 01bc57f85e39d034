/** The panel at the right: as wide as its reader last made it. */

import { type ReactNode, useState } from 'react'
import { setPreference, usePreferences } from '../../ui/preferences'

const LEAST = 320

export function SidePanel({
  children,
  label = 'Details',
}: {
  children: ReactNode
  label?: string
}) {
  const { panel } = usePreferences()
  const [dragged, setDragged] = useState<number | null>(null)
  const width = dragged ?? panel
  const bounded = (n: number) => Math.round(Math.max(LEAST, Math.min(innerWidth / 2, n)))
  return (
    <aside
      className="panel"
      aria-label={label}
      style={{ '--panel': `${width}px` } as React.CSSProperties}
    >
      <div
        className="resizer"
        role="separator"
        aria-orientation="vertical"
        aria-label="Width of the panel"
        aria-valuenow={width}
        aria-valuemin={LEAST}
        tabIndex={0}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId)
          setDragged(width)
        }}
        onPointerMove={(event) =>
          dragged !== null && setDragged(bounded(innerWidth - event.clientX))
        }
        onPointerUp={() => {
          if (dragged !== null) setPreference('panel', dragged)
          setDragged(null)
        }}
        onKeyDown={(event) => {
          const step = event.key === 'ArrowLeft' ? 24 : event.key === 'ArrowRight' ? -24 : 0
          if (step) setPreference('panel', bounded(width + step))
        }}
      />
      {children}
    </aside>
  )
}
