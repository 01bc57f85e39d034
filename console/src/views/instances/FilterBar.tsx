/** The filters as tokens, and a field to add more. */

import { useRef, useState } from 'react'
import { Button } from '../../ui/basics'
import { Icon } from '../../ui/icons'
import { AGE_WORDS, FIELDS, type InstancesSearch, tokens, typed, withValue } from './filters'

interface FilterBarProps {
  search: InstancesSearch
  onChange: (search: InstancesSearch) => void
  fresh: number
  onShowNew: () => void
  onFacets: () => void
}

export function FilterBar({ search, onChange, fresh, onShowNew, onFacets }: FilterBarProps) {
  const set = (name: string, value: string) => onChange(withValue(search, name, value))
  return (
    <div className="filters">
      <div className="search">
        <Icon name="search" />
        {tokens(search).map((token) => (
          <span key={token.name} className={`token ${token.bad ? 'bad' : ''}`} title={token.bad}>
            <em>{token.word}</em> <bdi className="cut">{token.text}</bdi>
            <button
              type="button"
              aria-label={`Remove the filter ${token.word}`}
              onClick={() => set(token.name, '')}
            >
              <Icon name="close" />
            </button>
          </span>
        ))}
        <FilterInput search={search} onSet={set} />
        <kbd>/</kbd>
      </div>
      <Button icon="filter" className="only-small tall" onClick={onFacets}>
        Filters
      </Button>
      <Button icon="retry" className="tall" disabled={fresh === 0} onClick={onShowNew}>
        <span className="num">{fresh} new</span>
      </Button>
    </div>
  )
}

function FilterInput({
  search,
  onSet,
}: {
  search: InstancesSearch
  onSet: (name: string, value: string) => void
}) {
  const [text, setText] = useState('')
  const [focused, setFocused] = useState(false)
  const [at, setAt] = useState(-1)
  const input = useRef<HTMLInputElement>(null)
  const options = focused ? suggestions(text) : []
  const take = (value: string) => {
    const filter = typed(value)
    if (!filter) return
    onSet(filter.name, filter.value)
    setText('')
    setAt(-1)
  }
  const choose = (option: Suggestion) => {
    if (option.complete) take(option.text)
    else setText(option.text)
    input.current?.focus()
  }
  return (
    <span className="filter-input">
      <input
        ref={input}
        data-filter
        role="combobox"
        aria-expanded={options.length > 0}
        aria-controls="suggestions"
        aria-activedescendant={at >= 0 ? `suggestion-${at}` : undefined}
        aria-label="Filter by id, label, error, step"
        placeholder={Object.keys(search).length ? 'Filter…' : 'Filter by id, label, error…'}
        value={text}
        maxLength={1000}
        onFocus={() => setFocused(true)}
        onBlur={() => setFocused(false)}
        onChange={(event) => {
          setText(event.target.value)
          setAt(-1)
        }}
        onKeyDown={(event) => {
          const chosen = options[at]
          if (event.key === 'ArrowDown') setAt(Math.min(at + 1, options.length - 1))
          else if (event.key === 'ArrowUp') setAt(Math.max(-1, at - 1))
          else if (event.key === 'Enter' && chosen) choose(chosen)
          else if (event.key === 'Enter') take(text)
          else if (event.key === 'Escape') input.current?.blur()
          else if (event.key === 'Backspace' && text === '') removeLast(search, onSet)
          else return
          if (event.key !== 'Backspace') event.preventDefault()
        }}
      />
      {options.length > 0 && (
        <ul className="pop suggestions" id="suggestions" role="listbox" aria-label="Filters">
          {options.map((option, index) => (
            <li
              key={option.text}
              id={`suggestion-${index}`}
              role="option"
              aria-selected={index === at}
              className="pop-item"
              // Before the input loses the focus.
              onMouseDown={(event) => {
                event.preventDefault()
                choose(option)
              }}
            >
              {option.shown}
              <span className="quiet">{option.note}</span>
            </li>
          ))}
        </ul>
      )}
    </span>
  )
}

function removeLast(search: InstancesSearch, onSet: (name: string, value: string) => void): void {
  const last = Object.keys(search).at(-1)
  if (last) onSet(last, '')
}

interface Suggestion {
  text: string
  shown: string
  note: string
  complete: boolean
}

/** Fields whose name begins with what was typed; values once a field is named. */
function suggestions(text: string): Suggestion[] {
  const [name, rest] = text.split(/[=:]/, 2)
  const field = FIELDS.find((each) => each.name === name?.trim())
  if (field && rest !== undefined) {
    return (field.values ?? [])
      .filter((value) => value.startsWith(rest.trim()))
      .map((value) => ({
        text: `${field.name}=${value}`,
        shown: AGE_WORDS[value] ?? value.replace(/_/g, ' '),
        note: field.word,
        complete: true,
      }))
  }
  const begun = text.trim().toLowerCase()
  const fields = FIELDS.filter(
    (each) => each.name.startsWith(begun) || each.word.startsWith(begun),
  ).map((each) => ({
    text: `${each.name}=`,
    shown: each.word,
    note: `${each.name}=`,
    complete: false,
  }))
  const open = ['label.', 'input.']
    .filter((each) => each.startsWith(begun))
    .map((each) => ({
      text: each,
      shown: `${each}name`,
      note: `${each}name=value`,
      complete: false,
    }))
  return [...fields, ...open].slice(0, 12)
}
