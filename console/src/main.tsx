import { CSPProvider } from '@base-ui/react/csp-provider'
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { ApiProblem } from './api/problem'
import { NONCE } from './base'
import { startFeed } from './live/feed'
import { makeRouter } from './router'
import './styles/kit.css'
import './styles/app.css'
import { applyTheme, followSystemTheme } from './ui/preferences'

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 1000,
      refetchOnWindowFocus: false,
      // A refusal stays one; only what may pass is tried again.
      retry: (failures, error) =>
        failures < 2 && !(error instanceof ApiProblem && error.status < 500),
    },
  },
})

applyTheme()
followSystemTheme()
startFeed(queries)
const router = makeRouter(queries)
const page = document.getElementById('page')
if (page) {
  createRoot(page).render(
    <StrictMode>
      <CSPProvider nonce={NONCE} disableStyleElements>
        <QueryClientProvider client={queries}>
          <RouterProvider router={router} />
        </QueryClientProvider>
      </CSPProvider>
    </StrictMode>,
  )
}
