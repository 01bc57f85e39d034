/** The same action as a command line and as a request. */

import { useState } from 'react'
import { CopyButton, Segments } from '../../ui/basics'

export function Equivalents({ cli, curl }: { cli: string | null; curl: string }) {
  const [chosen, setShown] = useState<'cli' | 'curl'>('cli')
  const shown = cli === null ? 'curl' : chosen
  const text = shown === 'cli' ? (cli ?? '') : curl
  return (
    <div>
      <div className="code-head">
        <Segments
          label="The same as"
          value={shown}
          options={[
            ...(cli === null ? [] : [{ value: 'cli' as const, text: 'Command line' }]),
            { value: 'curl' as const, text: 'curl' },
          ]}
          onChange={setShown}
        />
        <span className="btns">
          <CopyButton text={text} label="Copy the command" />
        </span>
      </div>
      <pre
        className="code wrap equivalent"
        role="group"
        tabIndex={0}
        aria-label="The same as a command"
      >
        {text}
      </pre>
    </div>
  )
}
