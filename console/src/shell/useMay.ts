/** What the person may do; what a role may not do is not shown. */

import { useQuery } from '@tanstack/react-query'
import { me } from '../api/queries'

const ROLES = ['viewer', 'operator', 'admin'] as const
export type Role = (typeof ROLES)[number]

/** Without an answer everything is offered: the API itself refuses what a key may not do. */
export function useMay(role: Role): boolean {
  const person = useQuery(me).data
  return !person || ROLES.indexOf(person.role) >= ROLES.indexOf(role)
}
