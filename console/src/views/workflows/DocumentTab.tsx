/** The document as text, its problems as the server sees them, and its graph beside it. */

import type { EditorView } from '@codemirror/view'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useMemo, useRef, useState } from 'react'
import { idempotencyKey, send } from '../../api/client'
import { ApiProblem, type ErrorItem } from '../../api/problem'
import { workers } from '../../api/queries'
import { documentGraph } from '../../layout/documentGraph'
import { lineDiff } from '../../layout/jsonDiff'
import { useMay } from '../../shell/useMay'
import { Banner, Button } from '../../ui/basics'
import { DiffView } from '../../ui/DiffView'
import { Icon } from '../../ui/icons'
import { Dialog, say } from '../../ui/overlays'
import { Failed, Loading } from '../../ui/states'
import { counted } from '../../words/numbers'
import { cli } from '../../words/shell'
import { GraphCanvas } from '../instance/GraphCanvas'
import { fold } from '../instance/model'
import { Equivalents } from '../repair/Equivalents'
import { deployedText, YAML } from './deployedText'
import { goTo, makeEditor, showProblems } from './editor'
import { outline } from './yamlOutline'

interface DocumentTabProps {
  namespace: string
  name: string
  version: string
  document: unknown
  onDeployed: (version: string) => void
}

export default function DocumentTab(props: DocumentTabProps) {
  const { namespace, name, version } = props
  const query = useQuery(deployedText(namespace, name, version))
  if (query.error) {
    return (
      <div className="pad">
        <Failed error={query.error} retry={() => void query.refetch()} />
      </div>
    )
  }
  if (query.data === undefined) return <Loading />
  return (
    <TextEditor
      key={version}
      draft={`${namespace}/${name}`}
      deployed={query.data}
      version={version}
      onDeployed={props.onDeployed}
    />
  )
}

interface Checked {
  namespace: string
  name: string
  version: string
  outcome: 'created' | 'unchanged' | 'conflict'
  warnings: ErrorItem[]
}

const PAUSE = 400

/** `draft`: the key of the text that this browser keeps until it is deployed. */
export function TextEditor({
  draft,
  deployed,
  initial = deployed,
  version,
  onDeployed,
}: {
  draft: string
  deployed: string
  /** What the editor begins with, if it is not what is deployed. */
  initial?: string
  version?: string
  onDeployed: (version: string, namespace: string, name: string) => void
}) {
  const key = `orchestrator.draft.${draft}`
  const may = useMay('operator')
  const [text, setText] = useState(() => readDraft(key) ?? initial)
  const [line, setLine] = useState(1)
  const [deploying, setDeploying] = useState(false)
  const checked = useChecked(text)
  const box = useRef<HTMLDivElement>(null)
  const view = useRef<EditorView>(null)
  const tasks = useTasks()
  const first = useRef(text)
  useEffect(() => {
    if (!box.current) return
    const made = makeEditor(box.current, {
      text: first.current,
      editable: may,
      tasks: () => tasks.current,
      onChange: setText,
      onCursor: setLine,
    })
    view.current = made
    return () => made.destroy()
  }, [may, tasks])
  useEffect(() => {
    keepDraft(key, text === initial ? null : text)
  }, [key, text, initial])
  const errors = checked.errors
  const warnings = checked.result?.warnings ?? []
  useEffect(() => {
    if (view.current) showProblems(view.current, errors, warnings)
  })
  const changed = text !== deployed
  const ready = checked.result !== null && errors.length === 0 && changed
  return (
    <div className="body editor-body">
      <div className="grow column">
        <div className="editor-bar">
          <CheckState checked={checked} changed={changed} version={version} />
          <span className="grow" />
          {text !== initial && (
            <Button small onClick={() => view.current && restore(view.current, initial)}>
              Discard changes
            </Button>
          )}
          {may && (
            <Button
              small
              kind="primary"
              icon="play"
              disabled={!ready}
              onClick={() => setDeploying(true)}
            >
              Deploy…
            </Button>
          )}
        </div>
        <div className="editor-host" ref={box} />
        <Problems
          errors={errors}
          warnings={warnings}
          onOpen={(item) => view.current && goTo(view.current, item.line ?? 1, item.column ?? 1)}
        />
      </div>
      <GraphBeside
        text={text}
        line={line}
        onLine={(at) => view.current && goTo(view.current, at, 1)}
      />
      {deploying && checked.result && (
        <DeployDialog
          text={text}
          deployed={deployed}
          result={checked.result}
          onClose={() => setDeploying(false)}
          onDeployed={(next) => {
            keepDraft(key, null)
            onDeployed(next.version, next.namespace, next.name)
          }}
        />
      )}
    </div>
  )
}

function restore(view: EditorView, text: string): void {
  view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } })
}

function readDraft(key: string): string | null {
  try {
    return localStorage.getItem(key)
  } catch {
    return null
  }
}

function keepDraft(key: string, text: string | null): void {
  try {
    if (text === null) localStorage.removeItem(key)
    else localStorage.setItem(key, text)
  } catch {
    // Without storage the text lasts as long as the page.
  }
}

/** Names of tasks that workers have announced, in a box so that the editor sees later ones. */
function useTasks() {
  const found = useQuery({ ...workers, staleTime: 30_000 }).data
  const box = useRef<string[]>([])
  box.current = [...new Set((found?.items ?? []).flatMap((worker) => worker.tasks))].sort()
  return box
}

interface CheckResult {
  result: Checked | null
  errors: ErrorItem[]
  failure: unknown
  busy: boolean
}

/** Let the server check the text once it has rested for a moment; the last text wins. */
function useChecked(text: string): CheckResult {
  const [checked, setChecked] = useState<CheckResult>({
    result: null,
    errors: [],
    failure: null,
    busy: true,
  })
  useEffect(() => {
    let current = true
    const done = (change: Partial<CheckResult>) => {
      if (current) setChecked({ result: null, errors: [], failure: null, busy: false, ...change })
    }
    setChecked((old) => ({ ...old, busy: true }))
    const timer = setTimeout(async () => {
      try {
        const { data } = await send<Checked>('POST', '/v1/workflows?dry_run=true', text, {}, YAML)
        const errors = data.outcome === 'conflict' ? [conflict(data)] : []
        done({ result: data, errors })
      } catch (error) {
        if (error instanceof ApiProblem && error.errors.length) done({ errors: error.errors })
        else if (error instanceof ApiProblem && error.status < 500) {
          done({ errors: [{ message: error.message, line: 1, column: 1 }] })
        } else done({ failure: error })
      }
    }, PAUSE)
    return () => {
      current = false
      clearTimeout(timer)
    }
  }, [text])
  return checked
}

const conflict = ({ namespace, name, version }: Checked): ErrorItem => ({
  message: `version ${version} of ${namespace}/${name} is deployed with another document: give this one a new version`,
  pointer: '/document/version',
  line: null,
})

function CheckState({
  checked,
  changed,
  version,
}: {
  checked: CheckResult
  changed: boolean
  version?: string
}) {
  if (checked.failure)
    return (
      <span className="tone s-faulted small">The API does not answer: the text is not checked</span>
    )
  if (checked.busy) return <span className="quiet small">Checking…</span>
  if (checked.errors.length) {
    return (
      <span className="st s-faulted">
        <Icon name="faulted" />
        {counted(checked.errors.length, 'problem')}
      </span>
    )
  }
  return (
    <span className="st s-completed">
      <Icon name="check" />
      {changed
        ? `Can be deployed as ${checked.result?.version}`
        : `As deployed${version ? `, ${version}` : ''}`}
    </span>
  )
}

function Problems({
  errors,
  warnings,
  onOpen,
}: {
  errors: ErrorItem[]
  warnings: ErrorItem[]
  onOpen: (item: ErrorItem) => void
}) {
  if (!errors.length && !warnings.length) return null
  const row = (item: ErrorItem, at: number, kind: 'faulted' | 'retry') => (
    <button type="button" key={`${kind}${at}`} className="problem-row" onClick={() => onOpen(item)}>
      <span className={`tone s-${kind}`}>
        <Icon name={kind === 'faulted' ? 'faulted' : 'stuck'} />
      </span>
      <span className="mono quiet num">{item.line ? `${item.line}:${item.column ?? 1}` : ''}</span>
      <span className="any grow">{item.message}</span>
      <span className="mono quiet cut">{item.pointer ?? ''}</span>
    </button>
  )
  return (
    <section className="problems scroll" aria-label="Problems" aria-live="polite">
      <header>
        <b>{counted(errors.length, 'problem')}</b>
        {warnings.length > 0 && (
          <span className="quiet">, {counted(warnings.length, 'warning')}</span>
        )}
        <span className="grow" />
        <span className="quiet small">
          as <code>orchestrator validate</code> reports it
        </span>
      </header>
      {errors.map((item, at) => row(item, at, 'faulted'))}
      {warnings.map((item, at) => row(item, at, 'retry'))}
    </section>
  )
}

/** The graph of the text; while the text is not YAML, of the last one that was. */
function GraphBeside({
  text,
  line,
  onLine,
}: {
  text: string
  line: number
  onLine: (line: number) => void
}) {
  const { value, lines, broken } = useMemo(() => outline(text), [text])
  const [valid, setValid] = useState(value)
  useEffect(() => {
    if (!broken) setValid(value)
  }, [value, broken])
  const nodes = useMemo(() => fold(documentGraph(valid), new Set(), new Set()), [valid])
  const here = [...lines].filter(([, at]) => at <= line).at(-1)?.[0] ?? null
  return (
    <aside className="editor-graph" aria-label="Graph of the text">
      <p className="small quiet">
        {broken ? 'The graph is that of the last valid text' : 'The graph of this text'}
      </p>
      {nodes.length > 0 && (
        <GraphCanvas
          nodes={nodes}
          look={() => undefined}
          plain
          direction="y"
          selected={here}
          onSelect={(reference) => onLine(lines.get(reference) ?? 1)}
          onFold={(reference) => onLine(lines.get(reference) ?? 1)}
          label="the text"
        />
      )}
    </aside>
  )
}

function DeployDialog({
  text,
  deployed,
  result,
  onClose,
  onDeployed,
}: {
  text: string
  deployed: string
  result: Checked
  onClose: () => void
  onDeployed: (result: Checked) => void
}) {
  const queries = useQueryClient()
  const lines = useMemo(() => lineDiff(deployed.split('\n'), text.split('\n')), [deployed, text])
  const deploy = useMutation({
    mutationFn: async () => {
      const headers = { 'Idempotency-Key': idempotencyKey() }
      return (await send<Checked>('POST', '/v1/workflows', text, headers, YAML)).data
    },
    onSuccess: (done) => {
      void queries.invalidateQueries({ queryKey: ['workflows'] })
      void queries.invalidateQueries({ queryKey: ['workflow', done.namespace, done.name] })
      say('Deployed', `${done.namespace}/${done.name} ${done.version}`)
      onClose()
      onDeployed(done)
    },
  })
  const { namespace, name, version } = result
  return (
    <Dialog
      open
      wide
      onClose={onClose}
      onConfirm={() => !deploy.isPending && deploy.mutate()}
      title={`Deploy ${namespace}/${name} ${version}`}
      icon={<Icon name="play" />}
      footer={
        <>
          <span className="note">Instances that run keep their version.</span>
          <Button onClick={onClose}>Close</Button>
          <Button
            kind="primary"
            icon="play"
            busy={deploy.isPending}
            onClick={() => deploy.mutate()}
          >
            Deploy {version}
          </Button>
        </>
      }
    >
      {deploy.error && <Failed error={deploy.error} />}
      {result.outcome === 'unchanged' && (
        <Banner icon="info" tone="pending" title="The same document is deployed already">
          Deploying it again changes nothing.
        </Banner>
      )}
      {result.warnings.map((each) => (
        <Banner key={each.message} icon="stuck" tone="retry" title={each.message} />
      ))}
      <div>
        <p className="label gap-b">What changes</p>
        <DiffView lines={lines} label="What changes" />
      </div>
      <Equivalents
        cli={cli('deploy', [`${name}.yaml`])}
        curl={`curl -X POST "$ORCHESTRATOR_API_URL"/v1/workflows \\\n  -H "authorization: Bearer $ORCHESTRATOR_API_KEY" \\\n  -H 'content-type: application/yaml' --data-binary @${name}.yaml`}
      />
    </Dialog>
  )
}
