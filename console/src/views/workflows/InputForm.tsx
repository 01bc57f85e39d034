/** The input of a new instance: fields where the schema allows, JSON always. */

import { useState } from 'react'
import { isObject } from '../../layout/documentGraph'
import { Segments } from '../../ui/basics'
import { Field } from '../../ui/overlays'
import { type InputMember, members, memberValue, parsed } from './inputSchema'

export function InputForm({
  schema,
  text,
  onChange,
  error,
}: {
  schema: Record<string, unknown> | null
  text: string
  onChange: (text: string) => void
  error: string | null
}) {
  const fields = members(schema)
  const [mode, setMode] = useState<'form' | 'json'>('form')
  const value = parsed(text).value
  const form = fields && mode === 'form' && isObject(value)
  return (
    <div>
      <div className="code-head">
        <span className="label">Input</span>
        {fields && (
          <span className="btns">
            <Segments
              label="How to fill in"
              value={mode}
              options={[
                { value: 'form', text: 'Form' },
                { value: 'json', text: 'JSON' },
              ]}
              onChange={setMode}
            />
          </span>
        )}
      </div>
      {form ? (
        <div className="two-columns">
          {fields.map((member) => (
            <MemberField
              key={member.name}
              member={member}
              value={value[member.name]}
              onChange={(next) =>
                onChange(JSON.stringify({ ...value, [member.name]: next }, null, 2))
              }
            />
          ))}
        </div>
      ) : (
        <JsonArea label="Input as JSON" text={text} onChange={onChange} error={error} />
      )}
    </div>
  )
}

function MemberField({
  member,
  value,
  onChange,
}: {
  member: InputMember
  value: unknown
  onChange: (value: unknown) => void
}) {
  // What is typed stays as it is: `1.` is on its way to a number.
  const [shown, setShown] = useState(() =>
    value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value),
  )
  const take = (text: string) => {
    setShown(text)
    onChange(memberValue(member, text))
  }
  const label = `${member.title}${member.required ? '' : ' (optional)'}`
  const options = member.type === 'boolean' ? ['true', 'false'] : member.options
  return (
    <Field label={label} help={member.description}>
      {(id) =>
        options ? (
          <select
            id={id}
            className="input"
            value={shown}
            onChange={(event) => take(event.target.value)}
          >
            <option value="" />
            {options.map((option) => (
              <option key={option}>{option}</option>
            ))}
          </select>
        ) : (
          <input
            id={id}
            className="input"
            inputMode={member.type === 'integer' || member.type === 'number' ? 'decimal' : 'text'}
            value={shown}
            onChange={(event) => take(event.target.value)}
          />
        )
      }
    </Field>
  )
}

export function JsonArea({
  label,
  text,
  onChange,
  error,
  rows = 8,
}: {
  label: string
  text: string
  onChange: (text: string) => void
  error: string | null
  rows?: number
}) {
  return (
    <>
      <textarea
        className={`input mono-area ${error ? 'is-bad' : ''}`}
        aria-label={label}
        aria-invalid={Boolean(error)}
        spellCheck={false}
        rows={rows}
        value={text}
        onChange={(event) => onChange(event.target.value)}
      />
      {error && <p className="help bad any">{error}</p>}
    </>
  )
}
