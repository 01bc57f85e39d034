"""Every text field of a document with its use, read from our schema, and documents that contain
each of them once."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from orchestrator.document.dsl_schema import Revision, metadata_extensions, workflow
from orchestrator.document.model import escape
from tests.support.spec import yaml

Json = Any

#: A text of which the schema does not say what becomes of it.
UNDECIDED = "undecided"


def declared() -> dict[str, str]:
    """What becomes of each text, by its place in the definitions of the schema and in ours."""
    found: dict[str, str] = {}
    for revision in Revision:
        whole = workflow.workflow(revision)
        root = {key: value for key, value in whole.items() if key != "$defs"}
        for name, schema in {"": root, **whole["$defs"], **metadata_extensions.tables()}.items():
            for place, text in _texts(schema, name):
                assert found.setdefault(place, text) == text, place
    return found


def _texts(schema: Json, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(schema, list):
        for each in schema:
            yield from _texts(each, place)
    if not isinstance(schema, dict):
        return
    if "text" in schema:
        yield place, schema["text"]
    elif _takes_text(schema):
        yield place, UNDECIDED
    for key, each in schema.get("properties", {}).items():
        yield from _texts(each, f"{place}/{key}")
    yield from _texts(schema.get("items"), f"{place}/0")
    yield from _texts(schema.get("additionalProperties"), f"{place}/*")
    for key in ("allOf", "oneOf", "then", "else"):
        yield from _texts(schema.get(key), place)


def _takes_text(schema: dict[str, Json]) -> bool:
    types = schema.get("type", ())
    if types == "string":
        return "enum" not in schema
    # A choice by type says it of the text that it chooses.
    return "string" in types and {"type": "string"} not in [
        case.get("if") for case in schema.get("allOf", ())
    ]


def leaves(value: Json, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a value: its pointer and itself."""
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, f"{pointer}/{escape(key)}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from leaves(each, f"{pointer}/{index}")


def replaced(document: Json, pointer: str, text: str) -> Json:
    """The document with another text at a place."""
    changed = copy.deepcopy(document)
    at: Json = changed
    *above, last = pointer.split("/")[1:]
    for token in above:
        at = at[int(token)] if isinstance(at, list) else at[token]
    at[int(last) if isinstance(at, list) else last] = text
    return changed


HEAD = "document: {dsl: '1.0.3', namespace: test, name: sample, version: '1.0.0'}\n"

#: What is around the tasks.
OUTSIDE: list[Json] = yaml("""
- document:
    {dsl: '1.0.3', namespace: test, name: sample, version: '1.0.0', title: t, summary: s,
     tags: {team: t, more: {x: [y]}}, metadata: {mine: m, schedule: {timezone: UTC, input: {x: y}}}}
  evaluate: {language: jq, mode: strict}
  input: {from: '.x', schema: {format: json, document: {title: own}}}
  output: {as: {x: y}}
  timeout: {after: PT1M}
  do: []
- document: {dsl: '1.0.3', namespace: test, name: sample, version: '1.0.0'}
  timeout: short
  schedule: {cron: '0 0 * * *'}
  use:
    secrets: [s]
    timeouts: {short: {after: PT1S}}
    errors: {e: {type: 'https://x/e', status: 400, title: t, detail: d, instance: /do}}
    retries: {r: {when: .x, exceptWhen: .y, delay: PT1S}}
    catalogs: {c: {endpoint: {uri: 'https://x', authentication: {use: basic}}}}
    functions: {f: {set: {x: y}}}
    extensions: [{e: {extend: all, when: .x}}]
    authentications:
      basic: {basic: {username: u, password: p}}
      secret: {basic: {use: s}}
      bearer: {bearer: {token: t}}
      digest: {digest: {username: u, password: p}}
      oauth2:
        oauth2:
          {authority: 'https://x', grant: password, username: u, password: p, scopes: [s],
           audiences: [a], issuers: [i], client: {id: i, secret: s, assertion: a},
           subject: {token: t, type: y}, actor: {token: t, type: y},
           endpoints: {token: /t, revocation: /r, introspection: /i}}
  do: []
- document: {dsl: '1.0.3', namespace: test, name: sample, version: '1.0.0'}
  schedule: {on: {one: {with: {type: t, id: i}, correlate: {c: {from: .x, expect: y}}}}}
  do: []
- document: {dsl: '1.0.3', namespace: test, name: sample, version: '1.0.0'}
  schedule: {every: PT1M, after: PT1M}
  input: {schema: {resource: {name: n, endpoint: 'https://x'}}}
  do: []
""")

#: A task of each kind that runs here, alone in its document.
BUILT: list[Json] = yaml("""
- {set: {x: [y, {z: w}]}, if: '.x == null', then: end, timeout: {after: PT1S},
   input: {from: '.', schema: {document: {title: own}}}, output: {as: {x: y}}, export: {as: .x},
   metadata: {mine: own}}
- {set: '${ . }'}
- {call: t, with: {a: b}, metadata: {queue: q}, timeout: slow}
- {call: celery, with: {task: t, args: [a], kwargs: {b: c}, queue: q}}
- {call: http, with: {method: get, endpoint: 'https://x', headers: {a: b}, query: {c: d}, body: e}}
- {call: http, with: {method: get, endpoint: {uri: 'https://x'}, headers: '${ {} }'}}
- {call: openapi, with: {document: {name: n, endpoint: 'https://x'}, operationId: o,
   parameters: {p: q}}}
- {call: f, with: {a: b}}
- {emit: {event: {with: {type: t, source: 'https://x', id: i, subject: s, datacontenttype: d,
   dataschema: 'https://x', time: '2026-01-01T00:00:00Z', data: {x: y}, extra: z}}}}
- {for: {each: a, in: '[1]', at: b}, while: 'true', do: [{x: {set: {y: z}}}]}
- {for: {in: [{x: y}]}, do: [{x: {set: {y: z}}}]}
- {listen: {to: {any: [{with: {type: t}, correlate: {c: {from: .x, expect: .y}}}],
   until: '.[0].x'}},
   foreach: {item: a, at: b, output: {as: .x}, export: {as: .y}, do: [{x: {set: {y: z}}}]}}
- {raise: {error: {type: 'https://x', status: 400, title: t, detail: d, instance: /do}}}
- {raise: {error: e}}
- {run: {workflow: {namespace: test, name: other, version: latest, input: {x: y}}}}
- {run: {script: {language: js, code: c, stdin: s, arguments: [a], environment: {a: b}}}}
- {run: {script: {language: js, source: {name: n, endpoint: 'https://x'}}}}
- {run: {shell: {command: c, stdin: s, arguments: [a], environment: {a: b}}}}
- {switch: [{a: {when: 'false', then: end}}, {b: {then: exit}}]}
- {try: [{x: {raise: {error: e}}}], catch: {as: a, when: 'true', exceptWhen: 'false',
   errors: {with: {type: 'https://x/e', title: t, detail: d, instance: /do/0/task/try/0/x}},
   then: end,
   do: [{y: {set: {z: w}}}]}}
- {try: [{x: {raise: {error: e}}}], catch: {errors: {with: {status: 400}}, retry: {when: 'true',
   exceptWhen: 'false', delay: PT1S, jitter: {from: PT0S, to: PT1S},
   backoff: {linear: {increment: PT1S}},
   limit: {duration: PT1M, attempt: {count: 1, duration: PT1S}}}}}
- {try: [{x: {raise: {error: e}}}], catch: {retry: r}}
- {try: [{x: {set: {y: z}}}], catch: {retry: {backoff: {constant: {mine: c}}}}}
- {try: [{x: {set: {y: z}}}], catch: {retry: {backoff: {exponential: {mine: c}}}}}
- {wait: PT1S}
- {call: t, metadata: {compensate: {call: celery, with: {task: u, queue: q}}}}
""")

#: A task of each kind that does not yet: their texts are checked, and no more.
UNBUILT: list[Json] = yaml("""
- {call: grpc, with: {proto: {endpoint: 'https://x'}, method: m, arguments: {a: b},
   service: {name: s, host: h, authentication: {bearer: {token: t}}}}}
- {call: asyncapi, with: {document: {endpoint: 'https://x'}, channel: c,
   server: {name: s, variables: {a: b}}, message: {payload: {a: b}, headers: {c: d}}}}
- {call: asyncapi, with: {document: {endpoint: 'https://x'}, operation: o,
   subscription: {filter: '${ .x }', consume: {while: '${ .y }', for: PT1S},
     foreach: {item: a, at: b, output: {as: .x}, do: [{x: {set: {y: z}}}]}}}}
- {call: a2a, with: {method: message/send, server: 'https://x', parameters: {a: b}}}
- {call: a2a, with: {method: message/send, agentCard: {endpoint: 'https://x'},
   parameters: '${ . }'}}
- {call: mcp, with: {protocolVersion: v, method: tools/list, parameters: {a: b}, timeout: PT1S,
   client: {name: n, version: v},
   transport: {stdio: {command: c, arguments: [a], environment: {x: y}}, options: {o: p}}}}
- {call: mcp, with: {method: tools/list, parameters: '${ . }',
   transport: {http: {endpoint: 'https://x', headers: {a: b}}}}}
- {run: {container: {image: i, name: n, command: c, ports: {a: b}, volumes: {a: b},
   environment: {a: b}, stdin: s, arguments: [a], lifetime: {cleanup: eventually, after: PT1S}}}}
""")

_USE: Json = {
    "timeouts": {"slow": {"after": "PT1H"}},
    "errors": {"e": {"type": "https://x/e", "status": 400, "title": "t", "detail": "d"}},
    "retries": {"r": {"delay": "PT1S", "limit": {"attempt": {"count": 1}}}},
    "functions": {"f": {"set": {"x": 1}}},
}


def alone(body: Json) -> Json:
    """A document of one task."""
    return {**yaml(HEAD), "use": _USE, "do": [{"task": body}]}
