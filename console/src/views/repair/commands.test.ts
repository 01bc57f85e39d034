import { expect, it } from 'vitest'
import type { DeadLetter, Instance, Step } from '../../api/types'
import { ACTIONS, type ActionName } from './actions'
import { requestOf } from './commands'

const instance = { id: 'i1' } as Instance
const step = { id: 3, name: 'pay' } as Step
const letter = { id: 'd1' } as DeadLetter

const made = (action: ActionName) =>
  requestOf(action, instance, step, letter, { reason: ' why ', output: { a: 1 } }, '"1-2-0"')

it('asks what would happen only where the API can be asked', () => {
  const asked = (Object.keys(ACTIONS) as ActionName[]).filter((name) => made(name)?.hasDryRun)
  expect(asked).toEqual(['retry', 'skip', 'suspend', 'resume', 'cancel', 'compensate', 'terminate'])
})

it('has the reason, the step and the command of each action', () => {
  expect(made('retry')).toMatchObject({
    path: '/v1/instances/i1/retry',
    body: { from: 3, reason: 'why' },
  })
  expect(made('skip')).toMatchObject({ body: { step: 3, output: { a: 1 }, reason: 'why' } })
  expect(made('suspend')?.body).toEqual({ reason: 'why' })
  expect(made('letter-resolve')?.path).toBe('/v1/dead-letters/d1/resolve')
  expect(made('retry')?.cli).toBe('orchestrator retry i1 \\\n  --from 3 \\\n  --reason why')
  expect(made('retry')?.curl).toContain('if-match: "1-2-0"')
  expect(requestOf('letter-retry', instance, step, null, { reason: '' }, null)).toBeNull()
})
