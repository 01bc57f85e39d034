import { readFileSync } from 'node:fs'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

/** Pages are served from the API's own files: see ../api/console. */
const OUTPUT = '../api/console/pages'

/**
 * What this release's API has of what the console can use.
 *
 * The console asks only for what the API's description names: a server without dry runs would carry
 * a command out.
 */
function capabilities(): Record<string, boolean> {
  const { paths } = JSON.parse(readFileSync(new URL('openapi.json', import.meta.url), 'utf8'))
  const takes = (path: string, method: string, name: string): boolean =>
    (paths[path]?.[method]?.parameters ?? []).some((each: { name?: string }) => each.name === name)
  return {
    me: '/v1/me' in paths,
    feed: '/v1/feed' in paths,
    doctor: '/v1/doctor' in paths,
    statistics: '/v1/workflows/{namespace}/{name}/statistics' in paths,
    dryRuns: takes('/v1/instances/{id}/retry', 'post', 'dry_run'),
    eventDryRuns: takes('/v1/events', 'post', 'dry_run'),
    outcomes: '/v1/operations/{id}/outcomes' in paths,
    retryNow: '/v1/instances/{id}/steps/{step}/retry-now' in paths,
    attention: takes('/v1/instances', 'get', 'attention'),
  }
}

export default defineConfig({
  plugins: [react()],
  define: { __API__: JSON.stringify(capabilities()) },
  // Relative: the server puts the pages below any prefix without building them anew.
  base: './',
  build: {
    outDir: OUTPUT,
    emptyOutDir: true,
    manifest: 'manifest.json',
    target: 'es2022',
    // `data:` is no source of scripts or styles, and small files compress well on their own.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Of everything that is bundled, for the wheel.
    license: { fileName: 'licences.md' },
    chunkSizeWarningLimit: 700,
  },
  test: {
    // Component tests name jsdom themselves: it costs two seconds a file.
    environment: 'node',
    include: ['src/**/*.test.{ts,tsx}', 'tests/**/*.test.{ts,tsx}'],
  },
})
