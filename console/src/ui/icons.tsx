/** Icons on a grid of 16 px, stroke 1.5, in the colour of the text. Filled ones are ends. */

import type { CSSProperties, JSX } from 'react'

const RING = <circle cx="8" cy="8" r="5.75" />
const END = <circle className="f" cx="8" cy="8" r="6.5" />

const DRAWN = {
  // states
  pending: <circle cx="8" cy="8" r="5.75" strokeDasharray="2.2 2.3" />,
  running: (
    <>
      <circle cx="8" cy="8" r="5.75" opacity=".3" />
      <path className="spin" d="M8 2.25A5.75 5.75 0 0 1 13.75 8" />
    </>
  ),
  waiting: (
    <>
      {RING}
      <path d="M8 5v3.2l2 1.3" />
    </>
  ),
  suspended: (
    <>
      {RING}
      <path d="M6.6 6v4M9.4 6v4" />
    </>
  ),
  cancelled: (
    <>
      {RING}
      <path d="M4.2 11.8l7.6-7.6" />
    </>
  ),
  faulted: (
    <>
      {END}
      <path className="n" d="M6 6l4 4M10 6l-4 4" />
    </>
  ),
  completed: (
    <>
      {END}
      <path className="n" d="M5.4 8.2l1.8 1.8 3.5-3.8" />
    </>
  ),
  undo: (
    <>
      <path d="M3 6h6.2a3.4 3.4 0 0 1 0 6.8H6" />
      <path d="M5.6 3.2L2.8 6l2.8 2.8" />
    </>
  ),
  undone: (
    <>
      {END}
      <path className="n" d="M5 7h4a1.9 1.9 0 0 1 0 3.8H7.4" />
      <path className="n" d="M6.5 5.3L4.8 7l1.7 1.7" />
    </>
  ),
  lost: (
    <>
      <path d="M13.4 6.2A5.75 5.75 0 0 0 4 3.9M2.6 9.8A5.75 5.75 0 0 0 12 12.1" />
      <path d="M6.4 6.4l3.2 3.2M9.6 6.4L6.4 9.6" />
    </>
  ),
  withdrawn: (
    <>
      <circle cx="8" cy="8" r="5.75" strokeDasharray="2.2 2.3" />
      <path d="M5.6 8h4.8" />
    </>
  ),
  late: (
    <>
      <path d="M13.5 6.5A5.75 5.75 0 1 0 12.4 11.7" />
      <path d="M8 5v3.2l1.8 1.1" />
      <path d="M11.8 9l2.6 2.6M14.4 9l-2.6 2.6" />
    </>
  ),
  unknown: (
    <>
      {RING}
      <path d="M6.4 6.4a1.7 1.7 0 1 1 2.3 1.7c-.5.2-.7.6-.7 1M8 11v.1" />
    </>
  ),
  stuck: (
    <>
      <path d="M8 2.6l6 10.6H2z" />
      <path d="M8 6.6v3M8 11.4v.1" />
    </>
  ),
  retry: (
    <>
      <path d="M13.2 8a5.2 5.2 0 1 1-1.6-3.8" />
      <path d="M13.4 2.4v2.8h-2.8" />
    </>
  ),
  // kinds of task
  call: (
    <>
      <path d="M8 1.9l5.4 3v6.2L8 14.1l-5.4-3V4.9z" />
      <path d="M2.8 5L8 8l5.2-3M8 8v6" />
    </>
  ),
  set: (
    <path d="M5.6 2.6c-1.6 0-2 .7-2 2v1.6c0 .9-.5 1.5-1.2 1.8.7.3 1.2.9 1.2 1.8v1.6c0 1.3.4 2 2 2M10.4 2.6c1.6 0 2 .7 2 2v1.6c0 .9.5 1.5 1.2 1.8-.7.3-1.2.9-1.2 1.8v1.6c0 1.3-.4 2-2 2" />
  ),
  switch: (
    <>
      <path d="M2 8h3.4l3-4.4H14M8.4 12.4H14M5.4 8l3 4.4" />
      <path d="M11.8 1.6l2.2 2-2.2 2M11.8 10.4l2.2 2-2.2 2" />
    </>
  ),
  listen: (
    <>
      <circle cx="8" cy="8" r="1.4" />
      <path d="M5 11a4.2 4.2 0 0 1 0-6M11 5a4.2 4.2 0 0 1 0 6M2.9 13.1a7.2 7.2 0 0 1 0-10.2M13.1 2.9a7.2 7.2 0 0 1 0 10.2" />
    </>
  ),
  wait: <path d="M4 2h8M4 14h8M5 2v2.6L8 8l3-3.4V2M5 14v-2.6L8 8l3 3.4V14" />,
  for: (
    <>
      <path d="M11.4 2.2L13.8 4.6l-2.4 2.4" />
      <path d="M2.2 7.6V6.6a2 2 0 0 1 2-2h9.4M4.6 13.8L2.2 11.4l2.4-2.4" />
      <path d="M13.8 8.4v1a2 2 0 0 1-2 2H2.4" />
    </>
  ),
  fork: (
    <>
      <circle cx="8" cy="12.6" r="1.6" />
      <circle cx="3.8" cy="3.4" r="1.6" />
      <circle cx="12.2" cy="3.4" r="1.6" />
      <path d="M3.8 5v1.2A1.8 1.8 0 0 0 5.6 8h4.8a1.8 1.8 0 0 0 1.8-1.8V5M8 8v3" />
    </>
  ),
  try: <path d="M8 1.8l5 1.8v4c0 3.2-2 5.4-5 6.6-3-1.2-5-3.4-5-6.6v-4z" />,
  do: <path d="M2.4 4h.1M5.4 4h8.2M2.4 8h.1M5.4 8h8.2M2.4 12h.1M5.4 12h8.2" />,
  run: (
    <>
      <rect x="2" y="2" width="5" height="5" rx="1.2" />
      <rect x="9" y="9" width="5" height="5" rx="1.2" />
      <path d="M4.5 7v2.8a1.7 1.7 0 0 0 1.7 1.7H9" />
    </>
  ),
  emit: <path d="M14 2L7.2 8.8M14 2L9.6 14l-2.4-5.2L2 6.4z" />,
  raise: (
    <>
      <path d="M5.3 1.9h5.4l3.4 3.4v5.4l-3.4 3.4H5.3l-3.4-3.4V5.3z" />
      <path d="M8 5v3.4M8 11v.1" />
    </>
  ),
  // places
  namespace: (
    <>
      <circle cx="4" cy="3.6" r="1.6" />
      <circle cx="4" cy="12.4" r="1.6" />
      <circle cx="12" cy="5.6" r="1.6" />
      <path d="M4 5.2v5.6M12 7.2c0 2.6-8 1-8 3.6" />
    </>
  ),
  instances: <path d="M2.4 4h11.2M2.4 8h11.2M2.4 12h7" />,
  events: <path d="M8.8 1.8L3 9.2h4.4l-.6 5L12.8 6.8H8.2z" />,
  schedules: (
    <>
      <path d="M13.8 6.6V4.2a1.4 1.4 0 0 0-1.4-1.4H3.6a1.4 1.4 0 0 0-1.4 1.4v8a1.4 1.4 0 0 0 1.4 1.4h3M2.2 6.2h11.6M5.2 1.6v2.4M10.8 1.6v2.4" />
      <circle cx="11.4" cy="11.4" r="3" />
      <path d="M11.4 10v1.5l.9.6" />
    </>
  ),
  inbox: (
    <>
      <path d="M2.2 8.8h3l1.2 1.8h3.2l1.2-1.8h3" />
      <path d="M4.2 3.4L2.2 8.8v3a1.2 1.2 0 0 0 1.2 1.2h9.2a1.2 1.2 0 0 0 1.2-1.2v-3l-2-5.4a1.2 1.2 0 0 0-1.1-.8H5.3a1.2 1.2 0 0 0-1.1.8z" />
    </>
  ),
  health: <path d="M1.8 8.4h2.8l2-5.6 3 10.4 1.8-4.8h2.8" />,
  operations: <path d="M8 1.8l6 3-6 3-6-3zM2 8l6 3 6-3M2 11.2l6 3 6-3" />,
  audit: (
    <>
      <path d="M4 1.8h6l3 3v8.2a1.2 1.2 0 0 1-1.2 1.2H4A1.2 1.2 0 0 1 2.8 13V3A1.2 1.2 0 0 1 4 1.8z" />
      <path d="M5.6 6h3M5.6 8.6h4.8M5.6 11.2h4.8" />
    </>
  ),
  person: (
    <>
      <circle cx="8" cy="5.4" r="2.8" />
      <path d="M2.8 13.8a5.2 5.2 0 0 1 10.4 0" />
    </>
  ),
  theme: (
    <>
      <circle cx="8" cy="8" r="2.8" />
      <path d="M8 1.4v1.4M8 13.2v1.4M1.4 8h1.4M13.2 8h1.4M3.3 3.3l1 1M11.7 11.7l1 1M12.7 3.3l-1 1M4.3 11.7l-1 1" />
    </>
  ),
  // things to do
  search: (
    <>
      <circle cx="7" cy="7" r="4.6" />
      <path d="M10.4 10.4L14 14" />
    </>
  ),
  down: <path d="M4 6l4 4 4-4" />,
  right: <path d="M6 4l4 4-4 4" />,
  choose: <path d="M5 6l3-3 3 3M5 10l3 3 3-3" />,
  external: (
    <path d="M9.6 2.4h4v4M13.4 2.6L7.4 8.6M6.4 3.4H3.8a1.4 1.4 0 0 0-1.4 1.4v7.4a1.4 1.4 0 0 0 1.4 1.4h7.4a1.4 1.4 0 0 0 1.4-1.4V9.6" />
  ),
  copy: (
    <>
      <rect x="5.6" y="5.6" width="8.2" height="8.2" rx="1.4" />
      <path d="M3.4 10.4A1.2 1.2 0 0 1 2.2 9.2V3.6a1.4 1.4 0 0 1 1.4-1.4h5.6a1.2 1.2 0 0 1 1.2 1.2" />
    </>
  ),
  close: <path d="M4 4l8 8M12 4l-8 8" />,
  pause: <path d="M5.4 3.4v9.2M10.6 3.4v9.2" strokeWidth="2" />,
  play: <path d="M4.6 2.8l8 5.2-8 5.2z" />,
  skip: <path d="M3.4 3l7 5-7 5zM12.6 3v10" />,
  download: <path d="M8 2.4v7.4M4.8 6.8L8 10l3.2-3.2M2.6 13.4h10.8" />,
  compare: <path d="M8 3v6M5 6h6M5 13h6" />,
  check: <path d="M3 8.4l3.2 3.2L13 4.8" />,
  expand: (
    <path d="M2.6 5.8V3.6a1 1 0 0 1 1-1h2.2M10.2 2.6h2.2a1 1 0 0 1 1 1v2.2M13.4 10.2v2.2a1 1 0 0 1-1 1h-2.2M5.8 13.4H3.6a1 1 0 0 1-1-1v-2.2" />
  ),
  edit: <path d="M10.6 2.8l2.6 2.6L5.6 13H3v-2.6z" />,
  info: (
    <>
      {RING}
      <path d="M8 7.4v3.2M8 5.2v.1" />
    </>
  ),
  queue: <path d="M2.2 4.2h11.6v7.6H2.2zM5.2 4.2v7.6M8.2 4.2v7.6" />,
  more: <path d="M3.5 8h.1M8 8h.1M12.5 8h.1" strokeWidth="2.2" />,
  link: (
    <path d="M6.6 9.4a3 3 0 0 0 4.4.2l2-2a3 3 0 0 0-4.2-4.2l-1 1M9.4 6.6a3 3 0 0 0-4.4-.2l-2 2a3 3 0 0 0 4.2 4.2l1-1" />
  ),
  ghost: (
    <path d="M8 2a5 5 0 0 0-5 5v7l2-1.4L6.6 14 8 12.6 9.4 14l1.6-1.4 2 1.4V7a5 5 0 0 0-5-5z" />
  ),
  filter: <path d="M2 3.6h12M4.4 8h7.2M6.6 12.4h2.8" />,
  star: <path d="M8 2l1.8 3.8 4.2.5-3.1 2.9.8 4.2L8 11.4l-3.7 2 .8-4.2L2 6.3l4.2-.5z" />,
  columns: (
    <>
      <rect x="2" y="2.6" width="12" height="10.8" rx="1.4" />
      <path d="M6.4 2.6v10.8M10 2.6v10.8" />
    </>
  ),
  prompt: <path d="M3 4.4L6.6 8 3 11.6M8.2 12H13" />,
  wrap: <path d="M2.4 4h11.2M2.4 8h9a2.4 2.4 0 0 1 0 4.8H8M9.6 11L8 12.8l1.6 1.8M2.4 12.8h2.4" />,
} satisfies Record<string, JSX.Element>

export type IconName = keyof typeof DRAWN

export const isIcon = (name: string): name is IconName => Object.hasOwn(DRAWN, name)

/** The icon of a kind of task; a box for what is no kind of ours. */
export const kindIcon = (kind: string): IconName => (isIcon(kind) ? kind : 'call')

interface IconProps {
  name: IconName
  size?: 'm' | 's'
  className?: string
  style?: CSSProperties
}

export function Icon({ name, size = 'm', className = '', style }: IconProps) {
  const classes = `i ${size === 's' ? 'i-14' : ''} ${className}`
  return (
    <svg className={classes} viewBox="0 0 16 16" aria-hidden="true" style={style}>
      {DRAWN[name]}
    </svg>
  )
}

/** An icon inside an SVG. */
export function SvgIcon({
  name,
  x,
  y,
  size,
}: {
  name: IconName
  x: number
  y: number
  size: number
}) {
  return (
    <svg
      className="i icon"
      x={x}
      y={y}
      width={size}
      height={size}
      viewBox="0 0 16 16"
      aria-hidden="true"
    >
      {DRAWN[name]}
    </svg>
  )
}

/** The mark of the product. */
export function Mark() {
  return (
    <svg
      viewBox="0 0 20 20"
      aria-hidden="true"
      fill="none"
      stroke="currentcolor"
      strokeWidth="2"
      strokeLinecap="round"
      strokeLinejoin="round"
    >
      <path d="M3 6.5h9.5a4.25 4.25 0 0 1 0 8.5H8.5" />
      <circle cx="4.6" cy="6.5" r="2.1" fill="var(--bg)" />
      <path d="M10.8 12.3L8 15l2.8 2.7" />
    </svg>
  )
}
