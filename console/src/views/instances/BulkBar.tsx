/** What can be done with the chosen rows, or with all that match. */

import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { counts, type Filters } from '../../api/queries'
import { useMay } from '../../shell/useMay'
import { Button, IconButton } from '../../ui/basics'
import { Menu, MenuTrigger } from '../../ui/overlays'
import { count } from '../../words/numbers'
import { BulkDialog } from './BulkDialog'

export type BulkAction = 'retry' | 'suspend' | 'resume' | 'cancel' | 'terminate' | 'compensate'

export function BulkBar({
  ids,
  filters,
  onClear,
}: {
  ids: string[]
  filters: Filters
  onClear: () => void
}) {
  const [all, setAll] = useState(false)
  const [action, setAction] = useState<BulkAction | null>(null)
  const { data } = useQuery(counts(filters))
  const may = useMay('operator')
  const navigate = useNavigate()
  const sum = data?.items.reduce((total, each) => total + each.count, 0)
  // An operation of the server takes a filter; without one it would reach everything.
  const matching = Object.keys(filters).length > 0
  return (
    <section className="bulk" aria-label="With the chosen instances">
      <b className="num">
        {all ? `All ${count(sum ?? 0)} that match` : `${count(ids.length)} selected`}
      </b>
      {sum !== undefined && matching && (
        <button type="button" className="link bare mid" onClick={() => setAll(!all)}>
          {all ? `only the ${count(ids.length)} selected` : `or all ${count(sum)} that match`}
        </button>
      )}
      {ids.length === 2 && !all && (
        <Button
          icon="compare"
          onClick={() => void navigate({ to: '/compare', search: { a: ids[0], b: ids[1] } })}
        >
          Compare
        </Button>
      )}
      {may && (
        <>
          <i className="rule" />
          <Button icon="retry" onClick={() => setAction('retry')}>
            Retry…
          </Button>
          <Button icon="pause" onClick={() => setAction('suspend')}>
            Suspend…
          </Button>
          <Button icon="undo" kind="danger" onClick={() => setAction('cancel')}>
            Cancel and undo…
          </Button>
          <Menu
            trigger={
              <MenuTrigger render={<IconButton icon="more" label="More actions" kind="quiet" />} />
            }
            entries={[
              { text: 'Resume…', icon: 'play', onSelect: () => setAction('resume') },
              { text: 'Compensate…', icon: 'undo', onSelect: () => setAction('compensate') },
              null,
              {
                text: 'Terminate without undo…',
                icon: 'cancelled',
                danger: true,
                onSelect: () => setAction('terminate'),
              },
            ]}
          />
        </>
      )}
      <i className="rule" />
      <IconButton icon="close" label="Choose nothing" kind="quiet" onClick={onClear} />
      {action && (
        <BulkDialog
          action={action}
          target={all ? { filters } : { ids }}
          onClose={() => setAction(null)}
          onDone={onClear}
        />
      )}
    </section>
  )
}
