import { expect, it } from 'vitest'
import { documentGraph } from '../../layout/documentGraph'
import { outline } from './yamlOutline'

const TEXT = `document: {dsl: '1.0.3', name: "a\\tb"}
# a comment
do:
  - pay:
      call: shop.charge
      with: {amount: 3, list: [1, two, true]}
      note: |
        hello
  - 'b/c':
      set: {ok: true}
      then:
`

it('reads values and the line of every member', () => {
  const { value, lines, broken } = outline(TEXT)
  expect(broken).toBe(false)
  expect(value).toMatchObject({
    document: { dsl: '1.0.3', name: 'a\tb' },
    do: [
      { pay: { call: 'shop.charge', with: { amount: 3, list: [1, 'two', true] } } },
      { 'b/c': { set: { ok: true }, then: null } },
    ],
  })
  expect(lines.get('/do/0/pay')).toBe(4)
  expect(lines.get('/do/1/b~1c')).toBe(9)
  expect(documentGraph(value).map((node) => node.reference)).toEqual(['/do/0/pay', '/do/1/b~1c'])
})

it('reads what is left of a text with mistakes', () => {
  const { value } = outline('do:\n  - pay:\n      call: x\n  - [\n')
  expect(documentGraph(value)[0]?.name).toBe('pay')
  expect(outline('a: {b: ').broken).toBe(true)
})

it('survives anything', () => {
  for (const text of [
    '',
    '- - - -',
    '{{{{',
    ': :',
    '"',
    '\t',
    '__proto__: {x: 1}',
    '[[[['.repeat(400),
  ]) {
    expect(() => outline(text)).not.toThrow()
  }
  expect(({} as Record<string, unknown>).x).toBeUndefined()
})
