/** What this release's API has of what the console can use; see vite.config.ts. */
declare const __API__: {
  me: boolean
  feed: boolean
  doctor: boolean
  statistics: boolean
  dryRuns: boolean
  attention: boolean
  eventDryRuns: boolean
  outcomes: boolean
  retryNow: boolean
}
