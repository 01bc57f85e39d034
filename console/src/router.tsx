/** The addresses of the console. What a view shows is in its address, typed. */

import type { QueryClient } from '@tanstack/react-query'
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
} from '@tanstack/react-router'
import { CONSOLE } from './base'
import { Missing } from './shell/Missing'
import { Shell } from './shell/Shell'
import { validInstanceSearch } from './views/instance/search'
import { validSearch } from './views/instances/filters'
import { InstancesView } from './views/instances/InstancesView'

const root = createRootRouteWithContext<{ queries: QueryClient }>()({
  component: Shell,
  notFoundComponent: Missing,
})

/** A view of texts: anything else in the address is left out. */
const texts =
  (...names: string[]) =>
  (given: Record<string, unknown>): Record<string, string | undefined> =>
    Object.fromEntries(
      names.flatMap((name) =>
        typeof given[name] === 'string' && given[name] !== '' ? [[name, given[name]]] : [],
      ),
    )

const home = createRoute({
  getParentRoute: () => root,
  path: '/',
  beforeLoad: () => {
    throw redirect({ to: '/instances' })
  },
})

const instances = createRoute({
  getParentRoute: () => root,
  path: '/instances',
  validateSearch: validSearch,
  component: InstancesView,
})

const instance = createRoute({
  getParentRoute: () => root,
  path: '/instances/$id',
  validateSearch: validInstanceSearch,
  component: lazyRouteComponent(() => import('./views/instance/InstanceView'), 'InstanceView'),
})

const compare = createRoute({
  getParentRoute: () => root,
  path: '/compare',
  validateSearch: texts('a', 'b'),
  component: lazyRouteComponent(() => import('./views/compare/CompareView'), 'CompareView'),
})

const workflows = createRoute({
  getParentRoute: () => root,
  path: '/workflows',
  validateSearch: texts('q'),
  component: lazyRouteComponent(() => import('./views/workflows/WorkflowsView'), 'WorkflowsView'),
})

const newWorkflow = createRoute({
  getParentRoute: () => root,
  path: '/new-workflow',
  component: lazyRouteComponent(
    () => import('./views/workflows/NewWorkflowView'),
    'NewWorkflowView',
  ),
})

const workflow = createRoute({
  getParentRoute: () => root,
  path: '/workflows/$namespace/$name',
  validateSearch: texts('tab', 'version', 'since', 'compare', 'task'),
  component: lazyRouteComponent(() => import('./views/workflows/WorkflowView'), 'WorkflowView'),
})

const events = createRoute({
  getParentRoute: () => root,
  path: '/events',
  validateSearch: texts('tab', 'type', 'find', 'of'),
  component: lazyRouteComponent(() => import('./views/events/EventsView'), 'EventsView'),
})

const schedules = createRoute({
  getParentRoute: () => root,
  path: '/schedules',
  validateSearch: texts('id'),
  component: lazyRouteComponent(() => import('./views/schedules/SchedulesView'), 'SchedulesView'),
})

const needs = createRoute({
  getParentRoute: () => root,
  path: '/needs',
  component: lazyRouteComponent(() => import('./views/needs/NeedsView'), 'NeedsView'),
})

const health = createRoute({
  getParentRoute: () => root,
  path: '/health',
  component: lazyRouteComponent(() => import('./views/health/HealthView'), 'HealthView'),
})

const operations = createRoute({
  getParentRoute: () => root,
  path: '/operations',
  component: lazyRouteComponent(
    () => import('./views/operations/OperationsView'),
    'OperationsView',
  ),
})

const operation = createRoute({
  getParentRoute: () => root,
  path: '/operations/$id',
  component: lazyRouteComponent(() => import('./views/operations/OperationView'), 'OperationView'),
})

const audit = createRoute({
  getParentRoute: () => root,
  path: '/audit',
  validateSearch: texts('action', 'target'),
  component: lazyRouteComponent(() => import('./views/audit/AuditView'), 'AuditView'),
})

const tree = root.addChildren([
  home,
  instances,
  instance,
  compare,
  workflows,
  newWorkflow,
  workflow,
  events,
  schedules,
  needs,
  health,
  operations,
  operation,
  audit,
])

/** Addresses are plain text: `?status=faulted&label.team=a`, as one would write them. */
function parseSearch(text: string): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(text))
}

function stringifySearch(search: Record<string, unknown>): string {
  const entries = Object.entries(search).flatMap(([name, value]) =>
    value === undefined || value === null || value === '' ? [] : [[name, String(value)]],
  )
  const text = new URLSearchParams(entries).toString()
  return text && `?${text}`
}

export const makeRouter = (queries: QueryClient) =>
  createRouter({
    routeTree: tree,
    basepath: CONSOLE,
    context: { queries },
    parseSearch,
    stringifySearch,
    defaultPreload: false,
    scrollRestoration: false,
  })

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof makeRouter>
  }
}
