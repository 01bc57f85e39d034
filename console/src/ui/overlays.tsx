/** Dialogs, menus and messages, on Base UI's parts. */

import { Dialog as BaseDialog } from '@base-ui/react/dialog'
import { Menu as BaseMenu } from '@base-ui/react/menu'
import { Toast as BaseToast } from '@base-ui/react/toast'
import { type ReactNode, useId, useRef } from 'react'
import { IconButton } from './basics'
import { Icon, type IconName } from './icons'

const FIELDS = '.content :is(input, select, textarea, [contenteditable=true])'

/** A dialog of 720 px, the focus on its first field. Ctrl+Enter confirms; Enter alone never does. */
export function Dialog({
  open,
  onClose,
  title,
  note,
  icon,
  children,
  footer,
  onConfirm,
  wide,
}: {
  open: boolean
  onClose: () => void
  title: ReactNode
  note?: ReactNode
  icon?: ReactNode
  children: ReactNode
  footer?: ReactNode
  onConfirm?: () => void
  wide?: boolean
}) {
  const popup = useRef<HTMLDivElement>(null)
  return (
    <BaseDialog.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <BaseDialog.Portal>
        <BaseDialog.Backdrop className="scrim" />
        <BaseDialog.Viewport className="veil">
          <BaseDialog.Popup
            ref={popup}
            initialFocus={() => popup.current?.querySelector<HTMLElement>(FIELDS) ?? true}
            className={`dialog ${wide ? 'wide' : ''}`}
            onKeyDown={(event) => {
              if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
                event.preventDefault()
                onConfirm?.()
              }
            }}
          >
            <header>
              {icon}
              <BaseDialog.Title className="any">{title}</BaseDialog.Title>
              {note && <span className="quiet small cut">{note}</span>}
              <span className="grow" />
              <IconButton icon="close" label="Close" small kind="quiet" onClick={onClose} />
            </header>
            <section className="content scroll" aria-label="What it is about">
              {children}
            </section>
            {footer && <footer>{footer}</footer>}
          </BaseDialog.Popup>
        </BaseDialog.Viewport>
      </BaseDialog.Portal>
    </BaseDialog.Root>
  )
}

export interface MenuEntry {
  text: string
  icon?: IconName
  shortcut?: string
  danger?: boolean
  disabled?: boolean
  onSelect: () => void
}

/** A menu behind a button; `null` entries are rules. */
export function Menu({
  trigger,
  entries,
  open,
  onOpenChange,
}: {
  trigger: ReactNode
  entries: (MenuEntry | null)[]
  open?: boolean
  onOpenChange?: (open: boolean) => void
}) {
  return (
    <BaseMenu.Root open={open} onOpenChange={onOpenChange}>
      {trigger}
      <BaseMenu.Portal>
        <BaseMenu.Positioner sideOffset={4} align="end" className="over">
          <BaseMenu.Popup className="pop">
            {entries.map((entry, at) =>
              entry === null ? (
                <BaseMenu.Separator key={at} className="sep" />
              ) : (
                <BaseMenu.Item
                  key={entry.text}
                  className={`pop-item ${entry.danger ? 'danger' : ''}`}
                  disabled={entry.disabled}
                  onClick={entry.onSelect}
                >
                  {entry.icon && <Icon name={entry.icon} size="s" />}
                  {entry.text}
                  {entry.shortcut && <kbd>{entry.shortcut}</kbd>}
                </BaseMenu.Item>
              ),
            )}
          </BaseMenu.Popup>
        </BaseMenu.Positioner>
      </BaseMenu.Portal>
    </BaseMenu.Root>
  )
}

export const MenuTrigger = BaseMenu.Trigger

const manager = BaseToast.createToastManager()

/** Tell the result of an action; errors stay until they are closed. */
export function say(title: string, description?: string, kind: 'done' | 'error' = 'done'): void {
  const timeout = kind === 'error' ? 0 : 6000
  manager.add({
    title,
    description,
    type: kind,
    timeout,
    priority: kind === 'error' ? 'high' : 'low',
  })
}

export function Toasts({ children }: { children: ReactNode }) {
  return (
    <BaseToast.Provider toastManager={manager}>
      {children}
      <BaseToast.Portal>
        <BaseToast.Viewport className="toasts">
          <ToastList />
        </BaseToast.Viewport>
      </BaseToast.Portal>
    </BaseToast.Provider>
  )
}

function ToastList() {
  const { toasts } = BaseToast.useToastManager()
  return toasts.map((toast) => (
    <BaseToast.Root key={toast.id} toast={toast} className="toast">
      <span className={toast.type === 'error' ? 's-faulted tone' : 's-completed tone'}>
        <Icon name={toast.type === 'error' ? 'faulted' : 'completed'} />
      </span>
      <span className="grow any">
        <BaseToast.Title className="t" />
        <BaseToast.Description className="mid small" />
      </span>
      <BaseToast.Close className="btn icon s quiet" aria-label="Close">
        <Icon name="close" />
      </BaseToast.Close>
    </BaseToast.Root>
  ))
}

/** A labelled field; the label names the control. */
export function Field({
  label,
  help,
  bad,
  children,
}: {
  label: string
  help?: ReactNode
  bad?: boolean
  children: (id: string) => ReactNode
}) {
  const id = useId()
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children(id)}
      {help && <p className={`help any ${bad ? 'bad' : ''}`}>{help}</p>}
    </div>
  )
}
