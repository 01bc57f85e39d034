/** The payloads of an instance. */

import type { Instance } from '../../api/types'
import { Json } from '../../ui/code'

export function DataTab({ instance }: { instance: Instance }) {
  return (
    <div className="pad data-tab">
      <Json value={instance.input} name={`${instance.id}-input`} label="Input" />
      <Json value={instance.output} name={`${instance.id}-output`} label="Output" />
      <Json value={instance.context} name={`${instance.id}-context`} label="Context" />
      {instance.error !== null && (
        <Json value={instance.error} name={`${instance.id}-error`} label="Error" />
      )}
    </div>
  )
}
