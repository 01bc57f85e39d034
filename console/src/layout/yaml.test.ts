import { expect, it } from 'vitest'
import { outline } from '../views/workflows/yamlOutline'
import { toYaml } from './yaml'

it('writes blocks as one would by hand', () => {
  const document = {
    document: { dsl: '1.0.3', version: '1.0.0', title: "It's an order: big" },
    do: [
      { pay: { call: 'shop.charge', with: { id: '$id', amount: 2, tags: [] } } },
      { code: 'a\n\n  b\n' },
    ],
  }
  expect(toYaml(document)).toBe(
    [
      'document:',
      "  dsl: '1.0.3'",
      "  version: '1.0.0'",
      "  title: 'It''s an order: big'",
      'do:',
      '  - pay:',
      '      call: shop.charge',
      '      with:',
      "        id: '$id'",
      '        amount: 2',
      '        tags: []',
      '  - code: |',
      '      a',
      '',
      '        b',
      '',
    ].join('\n'),
  )
})

it('quotes what YAML would read as something else', () => {
  const odd = [
    ...['', ' x', 'x ', 'yes', 'NULL', '1', '1.5', '0x1f', '1:20', '-', '- a', 'a: b', 'a #b'],
    ...['#a', '&a', '*a', '!a', '|', '>', '%a', '@a', '`a', '[a', '{a', "it's", '"a"', 'a\nb', '.'],
    ...['~', '.inf', '1e3', '2026-01-01', '=', 'é', '\u202e', '?', ':', '<<', 'a,b'],
  ]
  const value = { odd, nested: [[1, [2]], {}, null, true], '': 1, 'a: b': 2 }
  const read = outline(toYaml(value))
  expect(read.broken).toBe(false)
  for (const each of odd) expect(toYaml(each).trimEnd()).toMatch(/^'.*'$|^".*"$|^é$|^=$|^\S+$/)
})
