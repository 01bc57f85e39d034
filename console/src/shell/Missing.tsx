/** No view has this address. */

import { Link } from '@tanstack/react-router'
import { Empty } from '../ui/states'
import { Bar, Title } from './Shell'

export function Missing() {
  return (
    <>
      <Title text="Not found" />
      <Bar>
        <h1>Not found</h1>
      </Bar>
      <Empty title="There is no page at this address">
        <Link className="link" to="/instances">
          All instances
        </Link>
      </Empty>
    </>
  )
}
