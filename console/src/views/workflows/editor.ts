/** The editor's parts: YAML, the server's diagnostics, completion from the schema and the tasks. */

import {
  autocompletion,
  type Completion,
  type CompletionContext,
  type CompletionResult,
  closeBrackets,
  completionKeymap,
} from '@codemirror/autocomplete'
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands'
import { yaml } from '@codemirror/lang-yaml'
import {
  bracketMatching,
  HighlightStyle,
  indentOnInput,
  syntaxHighlighting,
} from '@codemirror/language'
import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from '@codemirror/lint'
import { highlightSelectionMatches, searchKeymap } from '@codemirror/search'
import { EditorState, type Extension } from '@codemirror/state'
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  keymap,
  lineNumbers,
} from '@codemirror/view'
import { tags } from '@lezer/highlight'
import type { ErrorItem } from '../../api/problem'
import { NONCE } from '../../base'
import { contextAt, keysIn, valuesOf } from './completion'

const COLOURS = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: 'var(--code-key)' },
  { tag: tags.string, color: 'var(--code-string)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--code-number)' },
  { tag: tags.keyword, color: 'var(--code-const)' },
  { tag: tags.comment, color: 'var(--code-comment)' },
])

const LOOK = EditorView.theme({
  '&': { height: '100%', fontSize: '12px', backgroundColor: 'var(--surface)', color: 'var(--ink)' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '19px', overflow: 'auto' },
  '.cm-content': { padding: '10px 0 24px', caretColor: 'var(--ink)' },
  '.cm-gutters': {
    backgroundColor: 'var(--surface)',
    color: 'var(--ink-3)',
    border: '0',
  },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'var(--hover)' },
  '.cm-cursor': { borderLeftColor: 'var(--ink)' },
  '&.cm-focused': { outline: 'none' },
  '&.cm-focused .cm-selectionBackground, .cm-selectionBackground': {
    backgroundColor: 'var(--selected)',
  },
  '.cm-tooltip': {
    backgroundColor: 'var(--surface)',
    border: '1px solid var(--line)',
    borderRadius: '6px',
    color: 'var(--ink)',
    boxShadow: 'var(--shadow-2)',
    overflow: 'hidden',
  },
  '.cm-tooltip-autocomplete ul li[aria-selected]': {
    backgroundColor: 'var(--pressed)',
    color: 'var(--ink)',
  },
  '.cm-completionDetail': { color: 'var(--ink-3)', fontStyle: 'normal', marginLeft: '12px' },
  '.cm-diagnostic': { fontFamily: 'var(--sans)', padding: '6px 10px' },
  '.cm-diagnostic-error': { borderLeft: '3px solid var(--faulted-solid)' },
  '.cm-diagnostic-warning': { borderLeft: '3px solid var(--retry-solid)' },
  '.cm-panels': { backgroundColor: 'var(--sunken)', color: 'var(--ink)' },
})

export interface EditorOptions {
  text: string
  editable: boolean
  tasks: () => string[]
  onChange: (text: string) => void
  onCursor: (line: number) => void
}

export function makeEditor(parent: HTMLElement, options: EditorOptions): EditorView {
  const extensions: Extension[] = [
    EditorView.cspNonce.of(NONCE),
    lineNumbers(),
    history(),
    drawSelection(),
    indentOnInput(),
    bracketMatching(),
    closeBrackets(),
    highlightActiveLine(),
    highlightSelectionMatches(),
    lintGutter(),
    yaml(),
    syntaxHighlighting(COLOURS),
    autocompletion({ override: [complete(options.tasks)] }),
    keymap.of([
      ...completionKeymap,
      ...searchKeymap,
      ...historyKeymap,
      ...lintKeymap,
      ...defaultKeymap,
      indentWithTab,
    ]),
    EditorState.readOnly.of(!options.editable),
    EditorState.tabSize.of(2),
    EditorView.contentAttributes.of({ 'aria-label': 'The workflow as YAML', tabindex: '0' }),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) options.onChange(update.state.doc.toString())
      if (update.selectionSet || update.docChanged) {
        options.onCursor(update.state.doc.lineAt(update.state.selection.main.head).number)
      }
    }),
    LOOK,
  ]
  return new EditorView({ parent, state: EditorState.create({ doc: options.text, extensions }) })
}

/** Mark the problems at their lines and columns, which count from 1. */
export function showProblems(view: EditorView, errors: ErrorItem[], warnings: ErrorItem[]): void {
  const marks = [
    ...errors.map((each) => diagnostic(view, each, 'error')),
    ...warnings.map((each) => diagnostic(view, each, 'warning')),
  ]
  view.dispatch(
    setDiagnostics(
      view.state,
      marks.sort((a, b) => a.from - b.from),
    ),
  )
}

function diagnostic(view: EditorView, item: ErrorItem, severity: 'error' | 'warning'): Diagnostic {
  const { doc } = view.state
  const line = doc.line(Math.max(1, Math.min(doc.lines, item.line ?? 1)))
  const from = Math.min(line.to, line.from + Math.max(0, (item.column ?? 1) - 1))
  const word = /^[\w.$/-]+/.exec(doc.sliceString(from, line.to))?.[0].length ?? 0
  const meant = /did you mean '([^']+)'/.exec(item.message)?.[1]
  return {
    from,
    to: from + Math.max(word, from < line.to ? 1 : 0),
    severity,
    message: item.message,
    actions: meant
      ? [
          {
            name: `Change to ${meant}`,
            apply: (target, start, end) =>
              target.dispatch({ changes: { from: start, to: end, insert: meant } }),
          },
        ]
      : undefined,
  }
}

export function goTo(view: EditorView, line: number, column: number): void {
  const at = view.state.doc.line(Math.max(1, Math.min(view.state.doc.lines, line)))
  const anchor = Math.min(at.to, at.from + column - 1)
  view.dispatch({
    selection: { anchor },
    effects: EditorView.scrollIntoView(anchor, { y: 'center' }),
  })
  view.focus()
}

function complete(tasks: () => string[]) {
  return (context: CompletionContext): CompletionResult | null => {
    const line = context.state.doc.lineAt(context.pos)
    const before = line.text.slice(0, context.pos - line.from)
    const value = /^\s*(?:- )?([\w-]+):\s+(['"]?[\w./$-]*)$/.exec(before)
    if (value) {
      const [, key = '', typed = ''] = value
      const options = [
        ...valuesOf(key).map((label): Completion => ({ label, type: 'enum' })),
        ...(key === 'call' || key === 'task'
          ? tasks().map((label): Completion => ({ label, type: 'function', detail: 'task' }))
          : []),
      ]
      return options.length ? { from: context.pos - typed.length, options } : null
    }
    const key = /^(\s*)(- )?([\w-]*)$/.exec(before)
    if (!key || (!context.explicit && !key[3])) return null
    const lines = context.state.doc.sliceString(0, line.from).split('\n')
    const indent = (key[1]?.length ?? 0) + (key[2]?.length ?? 0)
    const options = keysIn(contextAt(lines, indent)).map(
      ([label, detail]): Completion => ({ label, detail, type: 'property', apply: `${label}: ` }),
    )
    return options.length ? { from: context.pos - (key[3]?.length ?? 0), options } : null
  }
}
