import { expect, it } from 'vitest'
import { contextAt, keysIn } from './completion'

const LINES = `document:
  dsl: '1.0.3'
do:
  - pay:
      call: shop.charge
      metadata:
        compensate:
          call: shop.refund
  - both:
      fork:
        branches:
          - left:
              set: {}
`.split('\n')

const keys = (lines: string[], indent: number) =>
  keysIn(contextAt(lines, indent)).map(([key]) => key)

it('knows the keys that stand above a line', () => {
  expect(contextAt(LINES.slice(0, 2), 2)).toEqual(['document'])
  expect(contextAt(LINES.slice(0, 5), 6)).toEqual(['do', 'pay'])
  expect(contextAt(LINES.slice(0, 7), 10)).toEqual(['do', 'pay', 'metadata', 'compensate'])
  expect(contextAt(LINES, 14)).toEqual(['do', 'both', 'fork', 'branches', 'left'])
})

it('offers what may stand there', () => {
  expect(keys([], 0)).toContain('document')
  expect(keys(LINES.slice(0, 2), 2)).toContain('namespace')
  expect(keys(LINES.slice(0, 4), 6)).toContain('call')
  expect(keys(LINES.slice(0, 6), 8)).toContain('compensate')
  expect(keys(LINES, 14)).toContain('set')
  expect(keys(LINES.slice(0, 3), 2)).toEqual([])
})
