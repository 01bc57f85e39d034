/** A history that is read by page from its end, and grows there. */

import type { InfiniteData } from '@tanstack/react-query'
import type { Page, Transition } from '../api/types'

export type History = InfiniteData<Page<Transition>, string | undefined>

/**
 * Take up the newest page of a history that is read from its end: one request, however many pages
 * were read before. If more than a page is new, the rest is read anew as it is scrolled to.
 */
export function withNewest(known: History, page: Page<Transition>): History {
  const [first, ...rest] = known.pages
  const top = first?.items[0]?.sequence ?? 0
  const fresh = page.items.filter((each) => each.sequence > top)
  if (first && fresh.length === 0) return known
  if (!first || (fresh.length === page.items.length && page.next !== null)) {
    return { pages: [page], pageParams: [undefined] }
  }
  return { ...known, pages: [{ ...first, items: [...fresh, ...first.items] }, ...rest] }
}
