/** The list of keys that work here. */

import { Icon } from '../ui/icons'
import { Dialog } from '../ui/overlays'
import { activeKeys, type Key } from './keys'

export function KeyList({ open, onClose }: { open: boolean; onClose: () => void }) {
  const groups = open ? grouped(activeKeys()) : []
  return (
    <Dialog open={open} onClose={onClose} title="Keys" icon={<Icon name="prompt" />}>
      <div className="keys">
        {groups.map(([name, keys]) => (
          <section key={name}>
            <h3 className="section-title">{name}</h3>
            <dl>
              {keys.map((key) => (
                <div key={key.keys}>
                  <dt>
                    {key.keys.split(/[ +]/).map((part, at) => (
                      <kbd key={at}>{part}</kbd>
                    ))}
                  </dt>
                  <dd>{key.does}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
        <section>
          <h3 className="section-title">Dialogs</h3>
          <dl>
            <div>
              <dt>
                <kbd>Esc</kbd>
              </dt>
              <dd>Close what opened last</dd>
            </div>
            <div>
              <dt>
                <kbd>Ctrl</kbd>
                <kbd>Enter</kbd>
              </dt>
              <dd>Confirm</dd>
            </div>
          </dl>
        </section>
      </div>
    </Dialog>
  )
}

function grouped(keys: Key[]): [string, Key[]][] {
  const groups = new Map<string, Key[]>()
  for (const key of keys) groups.set(key.group, [...(groups.get(key.group) ?? []), key])
  return [...groups]
}
