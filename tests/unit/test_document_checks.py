"""What the language allows, and cannot be run: each line is refused, or doubted, at its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.document import InvalidDocument, Loaded, load
from orchestrator.document.checks.size import MAX_TASKS
from orchestrator.expressions import Evaluator
from tests.support.official_schema import HEAD


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    found = Evaluator()
    yield found
    found.close()


def loaded(text: str, evaluator: Evaluator | None = None, **more: Any) -> Loaded:
    source = text if text.startswith("document:") else HEAD + text
    check = None if evaluator is None else evaluator.check
    return load(source, "application/yaml", check_expression=check, **more)


def errors(text: str, evaluator: Evaluator | None = None, **more: Any) -> list[str]:
    with pytest.raises(InvalidDocument) as caught:
        loaded(text, evaluator, **more)
    return [str(problem) for problem in caught.value.problems]


def warnings(text: str, evaluator: Evaluator | None = None, **more: Any) -> list[str]:
    return [str(problem) for problem in loaded(text, evaluator, **more).warnings]


def test_positional_arguments_of_a_plain_call_are_doubted():
    text = "do:\n- a: {call: t, with: {args: [1], kwargs: {x: 1}, n: 1}}"
    advice = "'call: celery' takes 'task', 'args' and 'kwargs'"
    assert warnings(text) == [
        f"3:23: the task gets a keyword argument 'args'; {advice}",
        f"3:34: the task gets a keyword argument 'kwargs'; {advice}",
    ]
    assert warnings("do:\n- a: {call: t, with: {args: x}}") == []
    assert warnings("do:\n- a: {call: celery, with: {task: t, args: [1]}}") == []


FLOW = [
    ("do:\n- a: {set: {x: 1}, then: b}", "3:26: no task 'b' in this list"),
    ("do:\n- a: {set: {x: 1}, then: fni}\n- fin: {set: {x: 1}}",
     "3:26: no task 'fni' in this list, did you mean 'fin'?"),
    ("do:\n- a: {set: {x: 1}, then: edn}", "3:26: no task 'edn' in this list, did you mean 'end'?"),
    ("do:\n- a: {switch: [{c: {when: .x, then: b}}]}", "3:37: no task 'b' in this list"),
    ("do:\n- a: {try: [], catch: {then: b}}", "3:30: no task 'b' in this list"),
    ("do:\n- a: {do: [{b: {set: {x: 1}, then: a}}]}", "3:36: no task 'a' in this list"),
    ("do:\n- a: {do: [{b: {set: {x: 1}}}]}\n- c: {set: {x: 1}, then: b}",
     "4:26: no task 'b' in this list"),
    ("do:\n- a: {for: {in: .x}, do: [{b: {set: {x: 1}, then: c}}]}",
     "3:51: no task 'c' in this list"),
    ("do:\n- a: {fork: {branches: [{b: {set: {x: 1}, then: c}}, {c: {set: {x: 1}}}]}}",
     "3:49: 'c' cannot be reached from a branch: only directives are allowed"),
    ("do: []\nuse: {functions: {f: {set: {x: 1}, then: g}}}",
     "3:42: 'g' cannot be reached from a function: only directives are allowed"),
    ("do: []\nuse: {extensions: [{e: {extend: all, before: [{a: {set: {x: 1}, then: b}}]}}]}",
     "3:71: no task 'b' in this list"),
    ("do:\n- a: {switch: [{c: {then: end}}, {d: {then: exit}}]}",
     "3:35: a second default: 'c' has no 'when' either"),
]  # fmt: skip

REFERENCES = [
    ("do: []\ntimeout: quick", "3:10: no timeout 'quick' in 'use.timeouts'"),
    ("do:\n- a: {set: {x: 1}, timeout: quik}\nuse: {timeouts: {quick: {after: PT1S}}}",
     "3:29: no timeout 'quik' in 'use.timeouts', did you mean 'quick'?"),
    ("do:\n- a: {raise: {error: oops}}", "3:22: no error 'oops' in 'use.errors'"),
    ("do:\n- a: {try: [], catch: {retry: often}}",
     "3:31: no retry policy 'often' in 'use.retries'"),
    ("do:\n- a: {call: http, with: {method: get, endpoint: {uri: https://x,"
     " authentication: {use: me}}}}",
     "3:88: no authentication policy 'me' in 'use.authentications'"),
    ("do:\n- a: {call: openapi, with: {operationId: o, document: {endpoint: {uri: https://x,"
     " authentication: {use: me}}}}}",
     "3:105: no authentication policy 'me' in 'use.authentications'"),
    ("do:\n- a: {call: http, with: {method: get, endpoint: {uri: https://x,"
     " authentication: {basic: {use: me}}}}}",
     "3:96: no secret 'me' in 'use.secrets'"),
    ("do: []\nuse: {authentications: {a: {bearer: {use: token}}}, secrets: [tokn]}",
     "3:43: no secret 'token' in 'use.secrets', did you mean 'tokn'?"),
    ("do: []\nuse: {catalogs: {c: {endpoint: {uri: https://x, authentication: {use: a}}}}}",
     "3:71: no authentication policy 'a' in 'use.authentications'"),
    ("do:\n- a: {call: 'log:1.0.0@globl'}\nuse: {catalogs: {global: {endpoint: https://x}}}",
     "3:13: no catalog 'globl' in 'use.catalogs', did you mean 'global'?"),
]  # fmt: skip

ITSELF = "namespace: test, name: sample, version: latest"
CALLS = [
    ("do:\n- a: {run: {workflow: {namespace: test, name: sample, version: '1.0.0'}}}",
     "3:13: the workflow runs itself, and would never end"),
    ("do:\n- a: {do: [{b: {run: {workflow: {namespace: test, name: sample, version: latest}}}}]}",
     "3:23: the workflow runs itself, and would never end"),
    ("do:\n- a: {call: f}\nuse: {functions: {f: {do: [{g: {call: f}}]}}}",
     "4:39: the function 'f' calls itself, and would never end"),
    ("do:\n- a: {call: f}\nuse: {functions: {f: {call: g}, g: {call: f}}}",
     "4:43: the function 'f' calls itself, and would never end"),
    *[(f"do:\n{before}\n- a: {{run: {{workflow: {{{ITSELF}}}}}}}",
       "4:13: the workflow runs itself, and would never end; put an 'if' or a 'switch' before it")
      for before in ("- b: {set: {x: 1}}", "- b: {set: {x: 1}, then: a}", "- b: {call: t}",
                     "- b: {if: .x, set: {x: 1}}", "- b: {do: [{c: {set: {x: 1}, then: exit}}]}",
                     "- b: {fork: {branches: [{c: {call: t}}, {d: {wait: PT1S}}]}}")],
    ("do:\n- a: {fork: {branches: [{b: {run: {workflow: {namespace: test, name: sample,"
     " version: latest}}}}]}}", "3:36: the workflow runs itself, and would never end"),
    ("use: {functions: {f: {run: {workflow: {namespace: test, name: sample, version: latest}}}}}\n"
     "do:\n- a: {call: f}", "2:29: the workflow runs itself, and would never end"),
    ("do:\n- a: {run: {workflow: {namespace: a, name: b, version: v1}}}",
     "3:56: no workflow can have the version 'v1': it is no semantic version"),
    ("do:\n- a: {run: {workflow: {namespace: a.b, name: b, version: latest}}}",
     "3:35: no workflow can have the namespace 'a.b': it is no name of 1 to 63"),
    ("do:\n- a: {run: {workflow: {namespace: a, name: 'b c', version: latest}}}",
     "3:44: no workflow can have the name 'b c'"),
    ("do:\n- a: {run: {script: {language: ruby, code: x}}}",
     "3:32: scripts are written in 'js', 'javascript' or 'python', not in 'ruby'"),
    ("do:\n- a: {run: {script: {language: pyton, code: x}}}",
     "3:32: scripts are written in 'js', 'javascript' or 'python', not in 'pyton', did you mean"),
    ("do:\n- a: {call: celery}", "3:3: missing key 'with'"),
    ("do:\n- a: {call: celery, with: {task: t, arg: []}}",
     "3:37: unknown key 'arg', did you mean 'args'?"),
    ("do:\n- a: {call: celery, with: {task: t, args: {a: 1}}}",
     "3:43: should be a text or a list, not a mapping"),
    ("do:\n- a: {call: celery, with: {task: t, priority: 10}}", "3:47: should be from 0 to 9"),
    ("do:\n- a: {call: ''}", "3:13: a call needs a name"),
]  # fmt: skip

TIMES = [
    ("do:\n- a: {wait: {seconds: -1}}", "3:13: a duration cannot be negative"),
    ("do:\n- a: {wait: P9999Y}", "3:13: a duration cannot be longer than 100 years"),
    ("do:\n- a: {wait: {days: 1000000000000000000000}}",
     "3:13: a duration cannot be longer than 100 years"),
    ("do: []\ntimeout: {after: {minutes: -1}}", "3:18: a duration cannot be negative"),
    ("do:\n- a: {set: {x: 1}, timeout: {after: {hours: -1}}}",
     "3:37: a duration cannot be negative"),
    ("do: []\nuse: {timeouts: {t: {after: P101Y}}}",
     "3:29: a duration cannot be longer than 100 years"),
    ("do: []\nuse: {retries: {r: {delay: {seconds: -2}}}}", "3:28: a duration cannot be negative"),
    ("do:\n- a: {try: [], catch: {retry: {limit: {attempt: {count: 1000000000}}}}}",
     "3:57: retries are counted from 0 to 100000"),
    ("do:\n- a: {try: [], catch: {retry: {limit: {attempt: {count: -1}}}}}",
     "3:57: retries are counted from 0 to 100000"),
    ("do:\n- a: {try: [], catch: {retry: {limit: {duration: P200Y}}}}",
     "3:50: a duration cannot be longer than 100 years"),
    ("do:\n- a: {try: [], catch: {retry: {backoff: {exponential: {factor: 0}}}}}",
     "3:64: should be a number from 1 to 100"),
    ("do: []\nschedule: {}",
     "3:1: a schedule needs one of the keys 'every', 'cron', 'after' or 'on'"),
    ("do: []\nschedule: {every: PT0S}", "3:19: a schedule cannot fire without any pause"),
    ("do: []\nschedule: {after: '${ .x }'}",
     "3:19: a schedule cannot use an expression here: it has no data"),
    ("do: []\nschedule: {cron: '0 0 30 2 *'}",
     "3:18: '0 0 30 2 *' is no cron expression: bad day-of-month"),
    ("do: []\nschedule: {cron: '61 * * * *'}",
     "3:18: '61 * * * *' is no cron expression: bad minute"),
    ("do: []\nschedule: {cron: '0 0 12 ? * 2-6'}",
     "3:18: '0 0 12 ? * 2-6' is no cron expression: Quartz counts the days of the week from"
     " Sunday, 1: write '0 0 12 * * MON-FRI'"),
    ("do: []\nschedule: {cron: '0 0 12 ? * 6L'}",
     "3:18: '0 0 12 ? * 6L' is no cron expression: Quartz counts the days of the week from"
     " Sunday, 1: write '0 0 12 * * 5L'"),
    ("do: []\nschedule: {cron: '0 0 12 * * ? 2026'}",
     "3:18: '0 0 12 * * ? 2026' is no cron expression: a year, Quartz's seventh field,"),
    ("do: []\nschedule: {cron: '0 0 15W * MON'}",
     "3:18: '0 0 15W * MON' is no cron expression: 'nW' is a weekday by itself"),
    ("do: []\nschedule: {cron: '0 0 1W,15W * *'}",
     "3:18: '0 0 1W,15W * *' is no cron expression: 'nW', the weekday nearest to a day, is alone"),
    ("do: []\nschedule: {cron: daily}",
     "3:18: 'daily' is no cron expression: wrong number of fields"),
    ("document: {dsl: 1.0.3, namespace: t, name: s, version: 1.0.0,\n"
     " metadata: {schedule: {grace: '${ .x }'}}}\ndo: []",
     "2:31: a schedule cannot use an expression here: it has no data"),
    ("document: {dsl: 1.0.3, namespace: t, name: s, version: 1.0.0,\n"
     " metadata: {schedule: {timezone: Mars/Olympus}}}\ndo: []",
     "2:34: 'Mars/Olympus' is not a known time zone"),
]  # fmt: skip

HTTP = [
    ("do:\n- a: {call: http, with: {method: get, endpoint: 'https://x/{+path}{?q}'}}",
     "3:49: '{+path}': the language has no operators in URI templates, only '{name}'"),
    ("do:\n- a: {call: openapi, with: {operationId: o, document: {endpoint: 'https://x/{a,b}'}}}",
     "3:66: '{a,b}': the language has no operators in URI templates, only '{name}'"),
    ("do:\n- a: {call: http, with: {method: get, endpoint: /pets}}",
     "3:49: '/pets' is no absolute URI, like 'https://example.com'"),
    ("do:\n- a: {call: http, with: {method: get, endpoint: {uri: pets/1}}}",
     "3:55: 'pets/1' is no absolute URI, like 'https://example.com'"),
    ("do: []\ninput: {schema: {resource: {endpoint: not-a-uri}}}",
     "3:39: 'not-a-uri' is no absolute URI, like 'https://example.com'"),
    ("do:\n- a: {call: http, with: {method: get, endpoint: \"https://x/\\r\\nHost: y\"}}",
     "3:49: 'https://x/\ufffd\ufffdHost: y' is no URI: it has spaces or control characters"),
    ("do:\n- a: {call: http, with: {method: 'get /', endpoint: https://x}}",
     "3:34: 'get /' is no HTTP method"),
    ("do:\n- a: {call: http, with: {method: get, endpoint: https://x,"
     " headers: {X: \"a\\r\\nY: b\"}}}",
     "3:73: the header has a line break or a control character in it"),
    ("do:\n- a: {call: http, with: {method: get, endpoint: https://x, headers: {'X Y': a}}}",
     "3:70: 'X Y' is no name of a header"),
]  # fmt: skip

SCHEMAS = [
    ("do: []\ninput: {schema: {format: avro, document: {}}}",
     "3:26: schemas of the format 'avro' are not supported, only 'json'"),
    ("do: []\ninput: {schema: {document: {$ref: 'https://x.y/z'}}}",
     "3:18: the JSON Schema refers to something outside it: "),
    ("do:\n- a: {set: {x: 1}, output: {schema: {document: {type: strin}}}}",
     "3:55: no valid JSON Schema: "),
    ("do: []\noutput: {schema: {document: 5}}", "3:29: no valid JSON Schema: "),
]  # fmt: skip

LANGUAGE = [
    ("document: {dsl: 0.9.0, namespace: t, name: s, version: 1.0.0}\ndo: []",
     "1:17: the DSL's version '0.9.0' is not known; from 1.0.0-alpha1 to 1.x are"),
    ("document: {dsl: 2.0.0, namespace: t, name: s, version: 1.0.0}\ndo: []",
     "1:17: the DSL's version '2.0.0' is not known; from 1.0.0-alpha1 to 1.x are"),
    ("document: {dsl: 1.0.0-alpha, namespace: t, name: s, version: 1.0.0}\ndo: []",
     "1:17: the DSL's version '1.0.0-alpha' is not known; from 1.0.0-alpha1 to 1.x are"),
    ("do: []\nevaluate: {language: js}",
     "3:22: the only language of expressions known here is 'jq'"),
    ("do: []\nevaluate: {mode: sloppy}", "3:18: should be 'strict' or 'loose'"),
    ("do: []\nevaluate: 5", "3:11: should be a mapping"),
]  # fmt: skip

NAMES = [
    ("do:\n- '': {set: {x: 1}}", "3:3: a task needs a name"),
    ("do:\n- " + "n" * 256 + ": {set: {x: 1}}",
     "3:3: the name has 256 characters; the limit is 255"),
    ("do:\n- \"a\\u200bb\": {set: {x: 1}}",
     "3:3: the name has a character that cannot be seen (U+200B)"),
    ("do:\n- \"a\\u202eb\": {set: {x: 1}}",
     "3:3: the name has a character that cannot be seen (U+202E)"),
    ("do:\n- \"a\\nb\": {set: {x: 1}}",
     "3:3: the name has a character that cannot be seen (U+000A)"),
    ("do:\n- a: {for: {each: my-pet, in: .x}, do: []}",
     "3:19: 'my-pet' cannot be the name of a variable: letters, digits and '_' only"),
    ("do:\n- a: {try: [], catch: {as: 1st}}",
     "3:28: '1st' cannot be the name of a variable: letters, digits and '_' only"),
    ("do:\n- a: {listen: {to: {any: []}}, foreach: {item: '', do: []}}",
     "3:48: '' cannot be the name of a variable: letters, digits and '_' only"),
    ("do:\n- a: {for: {each: ENV, in: .x}, do: []}", "3:19: the variable '$ENV' is reserved"),
]  # fmt: skip

METADATA = [
    ("do:\n- a: {call: f, metadata: {priority: 10}}", "3:37: should be from 0 to 9"),
    ("do:\n- a: {call: f, metadata: {priority: high}}",
     "3:37: should be a whole number, not a text"),
    ("do:\n- a: {call: f, metadata: {queue: ''}}", "3:27: must not be empty"),
    ("do:\n- a: {call: f, metadata: {onLost: retri}}",
     "3:35: should be 'retry' or 'fault', not 'retri', did you mean 'retry'?"),
    ("do:\n- a: {call: f, metadata: {maxStarts: 0}}", "3:38: should be from 1 to 100"),
    ("do:\n- a: {try: [], catch: {}, metadata: {rollback: 1}}",
     "3:48: should be true or false, not a whole number"),
    ("do:\n- a: {for: {in: .x}, do: [], metadata: {concurrency: 0}}",
     "3:54: should be from 1 to 1000"),
    ("do:\n- a: {call: f, metadata: {compensate: undo}}", "3:39: should be a mapping, not a text"),
    ("do:\n- a: {call: f, metadata: {compensate: {cal: undo}}}",
     "3:40: unknown key 'cal', did you mean 'call'?"),
    ("do:\n- a: {call: f, metadata: {compensate: {call: undo, onUnknown: 1}}}",
     "3:63: should be true or false, not a whole number"),
    ("do:\n- a: {call: f, metadata: {compensate: {do: [{u: {set: {x: 1}, then: v}}]}}}",
     "3:69: no task 'v' in this list"),
    ("do:\n- a: {call: f, metadata: {compensate: {call: undo, then: b}}}\n- b: {set: {x: 1}}",
     "3:58: 'b' cannot be reached from a compensation: only directives are allowed"),
    ("do:\n- a: {call: f, metadata: {compensate: {call: u, metadata: {compensate: {set: 5}}}}}",
     "3:78: should be a text or a mapping, not a whole number"),
    ("do:\n- a: {call: f, metadata: {compensate: {call: u, metadata: {retry: often}}}}",
     "3:67: no retry policy 'often' in 'use.retries'"),
    ("document: {dsl: 1.0.3, namespace: t, name: s, version: 1.0.0,\n"
     " metadata: {onFault: undo}}\ndo: []",
     "2:22: should be 'compensate' or 'hold', not 'undo'"),
    ("document: {dsl: 1.0.3, namespace: t, name: s, version: 1.0.0,\n"
     " metadata: {schedule: {overlap: wait}}}\ndo: []",
     "2:33: should be 'allow', 'skip', 'queue' or 'cancel', not 'wait'"),
]  # fmt: skip

EXPRESSIONS = [
    ("do:\n- a: {set: {x: '${ .a[ }'}}", "3:16: the expression cannot be used: '[' is not closed"),
    ("do:\n- a: {set: {x: '${ .a | nope }'}}",
     "3:16: the expression cannot be used: nope/0 is not defined at line 1, column 6"),
    ("do:\n- a: {set: {x: '${ $nope }'}}", "3:16: the expression cannot be used: $nope is not"),
    ("do:\n- a: {if: '.x ==', set: {x: 1}}", "3:11: the expression cannot be used: "),
    ("do:\n- a: {set: {x: [1, {y: '${ $ENV.HOME }'}]}}",
     "3:24: the expression cannot be used: $ENV may not be used in an expression"),
    ("do:\n- a: {set: '${ env }'}",
     "3:12: the expression cannot be used: 'env' may not be used in an expression"),
    ("do:\n- a: {set: '${ {env} }'}",
     "3:12: the expression cannot be used: 'env' may not be used in an expression"),
    ("do:\n- a: {switch: [{c: {when: halt, then: end}}]}",
     "3:27: the expression cannot be used: 'halt' may not be used in an expression"),
    ("do:\n- a: {for: {in: 'input'}, do: []}",
     "3:17: the expression cannot be used: 'input' may not be used in an expression"),
    ("do:\n- a: {for: {in: .x}, while: '$items', do: []}",
     "3:29: the expression cannot be used: $items is not"),
    ("do:\n- a: {set: {x: 1}, export: {as: 'import \"a\" as a; .'}}",
     "3:33: the expression cannot be used: 'import' may not be used in an expression"),
    ("do:\n- a: {try: [], catch: {as: e, when: '$error'}}",
     "3:37: the expression cannot be used: $error is not"),
    ("do:\n- a: {for: {in: .x, each: pet}, do: []}\n- b: {set: '${ $pet }'}",
     "4:12: the expression cannot be used: $pet is not"),
    ("do:\n- a: {call: f, metadata: {compensate: {call: u, with: {x: '${ .a[ }'}}}}",
     "3:59: the expression cannot be used: '[' is not closed"),
    ("do: []\noutput: {as: '.x['}", "3:14: the expression cannot be used: '[' is not closed"),
    ("do: []\nuse: {retries: {r: {when: '.x['}}}",
     "3:27: the expression cannot be used: '[' is not closed"),
    ("do:\n- a: {if: '', set: {x: 1}}", "3:11: the expression cannot be used: the expression is"),
]  # fmt: skip

LITERAL = "expressions are not evaluated here: '${ .q }' would be used literally"
TEXTS = [
    ("do:\n- a: {call: '${ .q }'}", f"3:13: {LITERAL}; 'call: celery' evaluates its 'task'"),
    ("do:\n- a: {set: {x: 1}, then: '${ .q }'}",
     f"3:26: {LITERAL}; a 'switch' chooses between targets"),
    ("do:\n- a: {try: [], catch: {errors: {with: {type: '${ .q }'}}}}", f"3:46: {LITERAL}"),
    ("do:\n- a: {run: {script: {language: '${ .q }', code: x}}}", f"3:32: {LITERAL}"),
    ("document: {dsl: 1.0.3, namespace: t, name: s, version: 1.0.0, title: '${ .q }'}\ndo: []",
     f"1:70: {LITERAL}"),
    ("document: {dsl: 1.0.3, namespace: t, name: s, version: 1.0.0, tags: {a: ['${ .q }']}}\n"
     "do: []", f"1:74: {LITERAL}"),
    ("document: {dsl: 1.0.3, namespace: t, name: s, version: 1.0.0,\n"
     " metadata: {schedule: {input: {at: ['${ .dueDate }']}}}}\ndo: []",
     "2:37: '${ .dueDate }' would be used literally; a schedule fills in '${ .due }',"),
    ("do:\n- a: {call: f, metadata: {compensate: {call: '${ .q }', onUnknown: true}}}",
     f"3:46: {LITERAL}; "),
    ("do:\n- a: {call: f, with: {a: '${ .x'}}",
     "3:26: the expression is not closed: '}' is missing at its end"),
    ("do:\n- a: {set: '  ${ {a: .x'}",
     "3:12: the expression is not closed: '}' is missing at its end"),
    ("do:\n- a: {call: f, metadata: {queue: '${ .q'}}",
     "3:34: the expression is not closed: '}' is missing at its end"),
]  # fmt: skip

FORMS = [
    ("do:\n- a: {set: ''}", "3:12: should be a mapping or an expression '${ ... }', not an empty"),
    ("do:\n- a: {emit: {event: {}}}",
     "3:14: missing key 'with': the attributes of the event, 'type' at least"),
    ("do:\n- a: {emit: {event: {with: {type: ''}}}}", "3:35: must not be empty"),
    ("do:\n- a: {for: {in: .x, each: i, at: i}, do: []}",
     "3:34: '$i' cannot be both the item and its index"),
    ("do:\n- a: {for: {in: .x, each: index}, do: []}",
     "3:27: '$index' cannot be both the item and its index"),
]  # fmt: skip

DATA = "a secret would become data here"
SECRETS = [
    ("use: {secrets: [s]}\ndo:\n- a: {set: {x: '${ $secrets.s }'}}", f"4:16: {DATA}"),
    ("use: {secrets: [s]}\ndo:\n- a: {set: {x: '${ \"k: \\($secrets.s)\" }'}}", f"4:16: {DATA}"),
    ("use: {secrets: [s]}\ndo:\n- a: {set: {x: 1}, if: $secret.s == 1}", f"4:24: {DATA}"),
    ("use: {secrets: [s]}\ndo:\n- a: {set: {x: 1}, input: {from: $secrets.s}}", f"4:34: {DATA}"),
    ("use: {secrets: [s]}\ndo:\n- a: {call: f, output: {as: '. + $secrets'}}", f"4:29: {DATA}"),
    ("use: {secrets: [s], functions: {f: {set: '${ . }'}}}\ndo:\n"
     "- a: {call: f, with: {x: '${ $secrets.s }'}}", f"4:26: {DATA}"),
    ("use: {secrets: [s]}\ndo:\n- a: {run: {workflow: {namespace: a, name: b, version: latest,"
     " input: {x: '${ $secrets.s }'}}}}", f"4:75: {DATA}"),
    ("use: {secrets: [toke]}\ndo:\n- a: {call: f, with: {x: '${ $secrets.token }'}}",
     "4:26: no secret 'token' in 'use.secrets', did you mean 'toke'?"),
    ("do:\n- a: {call: f, with: {x: '${ $secrets[\"my token\"].user }'}}",
     "3:26: no secret 'my token' in 'use.secrets'"),
    ("do:\n- a: {call: f, with: {x: '${ $secret.\"t\" }'}}",
     "3:26: no secret 't' in 'use.secrets'"),
]  # fmt: skip

REFUSED = [
    *FLOW, *REFERENCES, *CALLS, *TIMES, *HTTP, *SCHEMAS, *LANGUAGE, *NAMES, *METADATA,
    *EXPRESSIONS, *SECRETS, *TEXTS, *FORMS,
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), REFUSED)
def test_refused(text: str, expected: str, evaluator: Evaluator):
    (found,) = errors(text, evaluator)
    assert found.startswith(expected)


CALENDAR = "a year is 365 days here and a month 30, whenever it begins; days say the same"
AROUND = "an expression with text around it is not evaluated, the text is used literally"
DOUBTED = [
    ("do:\n- a: {call: http, with: {method: get, endpoint: 'https://'}}",
     "3:49: 'https://' names no host; this call will fault"),
    ("do: []\nuse: {authentications: {x: {oauth2: {}}}}",
     "3:29: 'oauth2' can't ask for a token without 'authority' and 'grant'"),
    ("do: []\nuse: {authentications: {x: {oidc: {authority: 'https://a'}}}}",
     "3:29: 'oidc' can't ask for a token without 'grant'"),
    ("do:\n- a: {wait: P1M}", f"3:13: {CALENDAR}"),
    ("do: []\ntimeout: {after: P1Y}", f"3:18: {CALENDAR}"),
    ("do: []\nschedule: {every: P1M}", f"3:19: {CALENDAR}"),
    ("do: []\nschedule: {every: PT1M, cron: '0 0 * * *'}",
     "3:25: 'cron' and 'every' fire independently: this workflow has two schedules"),
    ("do:\n- a: {set: .x}", "3:12: the data becomes the text '.x'; an expression is written"),
    ("do:\n- a: {try: [], catch: {retry: {}}}",
     "3:24: retries at once and without end: 'limit' or 'delay' is missing"),
    ("do:\n- a: {run: {return: stdout, workflow: {namespace: a, name: b, version: latest}}}",
     "3:21: a workflow has no 'stdout': use 'none' or 'all'"),
    ("do:\n- a: {call: f, metadata: {retry: {delay: PT1S}}}",
     "3:27: 'retry' works in compensations only; elsewhere use a 'try' with 'catch.retry'"),
    ("document: {dsl: 1.0.3, namespace: t, name: s, version: 1.0.0,\n"
     " metadata: {schedule: {overlap: skip}}}\ndo: []",
     "2:13: these policies have no effect: the document has no 'schedule'"),
    ("do:\n- a: {set: {x: 'a ${ .b } c'}}", f"3:16: {AROUND}; write it as one: '${{ \"text \\(.pa"),
    ("do:\n- a: {call: celery, with: {task: t, queue: 'q-${ .n }'}}", f"3:44: {AROUND}"),
    ("do:\n- a: {call: f, metadata: {queue: '${ .n }-q'}}", f"3:34: {AROUND}"),
    ("do:\n- a: {call: http, with: {method: get, endpoint: 'https://x/${.id}'}}",
     f"3:49: {AROUND}"),
    ("do: []\ntimout: {after: PT1S}",
     "3:1: the key 'timout' has no meaning here, did you mean 'timeout'?"),
    ("do: []\nx-mine: 1", "3:1: the key 'x-mine' has no meaning here; "),
    ("do:\n- a: {try: [], catch: {errors: {whit: {status: 1}}}}",
     "3:33: the key 'whit' has no meaning here, did you mean 'with'?"),
    ("do:\n- a: {set: {x: 1}}\n- a: {set: {x: 1}}", "4:3: a second task 'a'; 'then' leads to the"),
    ("do:\n- end: {set: {x: 1}}", "3:3: 'then: end' is a directive and will not lead to this task"),
    ("do:\n- a: {for: {each: input, in: .x}, do: []}",
     "3:19: the variable hides '$input' of the language"),
    ("do:\n- a: {call: grpc, with: {proto: {endpoint: file://x}, method: m,"
     " service: {name: s, host: h}}}",
     "3:13: calls of the kind 'grpc' are not supported yet; this task will fault"),
    ("do:\n- a: {call: 'log:1.0.0@default'}",
     "3:13: calls of the kind 'catalog' are not supported yet; this task will fault"),
    ("do:\n- a: {call: 'https://x.y/f@v1.0.0'}",
     "3:13: calls of the kind 'catalog' are not supported yet; this task will fault"),
    ("do:\n- a: {run: {container: {image: x}}}",
     "3:24: processes of the kind 'container' are not supported yet; this task will fault"),
    ("do:\n- a: {run: {shell: {command: 'echo ${ .name }'}}}",
     "3:30: '${ }' within a longer text is the shell's; pass data as 'arguments'"),
    ("do:\n- a: {try: [], catch: {retry: {delay: PT1S, jitter: {from: PT2S, to: PT1S}}}}",
     "3:45: the jitter ends before it begins"),
    ("do: []\ninput: {schema: {resource: {endpoint: https://x/s.json}}}",
     "3:18: external schemas are not supported yet; this will fault"),
    ("document: {dsl: 1.4.0, namespace: t, name: s, version: 1.0.0}\ndo: []",
     "1:17: the newest version of the DSL known here is 1.0.3"),
    ("do:\n- a: {call: f, metadata: {compensation: {call: u}}}",
     "3:27: 'compensation' is not a known key, did you mean 'compensate'?"),
    ("do:\n- a: {call: f, metadata: {onlost: fault}}",
     "3:27: 'onlost' is not a known key, did you mean 'onLost'?"),
    ("do:\n- a: {listen: {to: {all: []}}}",
     "3:21: without filters there is nothing to wait for"),
    ("do:\n- a: {listen: {to: {any: [{with: {type: t}}], until: {all: []}}}}",
     "3:55: without filters there is nothing to wait for"),
    ("do: []\nschedule: {on: {all: []}}",
     "3:17: without filters no event ever starts the workflow; 'any: []' takes every event"),
    ("do:\n- a: {set: {x: 1}, metadata: {queue: q}}",
     "3:31: 'queue' works in tasks of the kind 'call' and 'run' only"),
    ("do:\n- a: {set: {x: 1}, metadata: {rollback: true}}",
     "3:31: 'rollback' works in tasks of the kind 'try' and 'fork' only"),
    ("do:\n- a: {fork: {branches: [b: {set: {x: 1}}]}, metadata: {rollback: true}}",
     "3:56: 'rollback' works in a 'fork' with 'compete' only"),
    ("document: {dsl: 1.0.3, namespace: t, name: s, version: 1.0.0,\n"
     " metadata: {onfault: hold}}\ndo: []",
     "2:13: 'onfault' is not a known key, did you mean 'onFault'?"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), DOUBTED)
def test_doubted(text: str, expected: str, evaluator: Evaluator):
    (found,) = warnings(text, evaluator)
    assert found.startswith(expected)


ACCEPTED = [
    "do:\n- a: {set: {x: 1}, then: b}\n- b: {switch: [{c: {when: .x, then: a}}, {d: {then: end}}]}",
    "do:\n- a: {call: f}\nuse: {functions: {f: {call: g}, g: {set: {x: 1}}}}",
    "do:\n- a: {call: celery, with: {task: '${ .t }', args: '${ .a }', kwargs: {x: 1}}}",
    "do:\n- a: {run: {workflow: {namespace: test, name: sample, version: '0.9.0'}}}",
    *[f"do:\n{before}\n- a: {{run: {{workflow: {{{ITSELF}}}}}}}"
      for before in ("- b: {switch: [{c: {when: .x, then: end}}]}",
                     "- b: {if: .x, set: {x: 1}, then: end}", "- b: {set: {x: 1}, then: end}",
                     "- b: {try: [{c: {call: t}}], catch: {}, then: end}",
                     "- b: {listen: {to: {any: []}}}",
                     "- b: {do: [{c: {switch: [{d: {when: .x, then: end}}]}}]}",
                     "- b: {set: {x: 1}, then: c}\n- c: {set: {x: 1}, then: b}")],
    "do:\n- a: {if: .left > 0, run: {workflow: {namespace: test, name: sample, version: latest}}}",
    "do:\n- a: {run: {await: false, workflow: {namespace: test, name: sample, version: latest}}}",
    "do:\n- a: {for: {in: .x}, do: [{b: {run: {workflow: {namespace: test, name: sample,"
    " version: latest}}}}]}",
    "do:\n- a: {try: [{b: {run: {workflow: {namespace: test, name: sample, version: latest}}}}],"
    " catch: {}}",
    "do:\n- a: {call: f}\nuse: {functions: {f: {do: [{g: {if: .x, call: f}}]}}}",
    "use: {functions: {g: {switch: [{c: {when: .x, then: end}}]}}}\n"
    f"do:\n- b: {{call: g}}\n- a: {{run: {{workflow: {{{ITSELF}}}}}}}",
    "do:\n- a: {run: {workflow: {namespace: test, name: other, version: latest}}}",
    "do:\n- a: {run: {workflow: {namespace: test, name: '${ .n }', version: 1.0.0-rc.1+b2}}}",
    "do:\n- a: {call: http, with: {method: get, endpoint: 'https://{host}/pets/{id}'}}",
    "do:\n- a: {call: http, with: {method: get, endpoint: '{base}/pets'}}",
    "do:\n- a: {call: http, with: {method: '${ .m }', endpoint: '${ .url }', headers: '${ .h }'}}",
    "do:\n- a: {wait: '${ .delay }'}\n- b: {wait: P36500D}\n- c: {wait: {seconds: 0}}",
    "do: []\nschedule: {cron: '0 0 29 2 *'}",
    "do: []\nschedule: {cron: '@daily'}",
    *[f"do: []\nschedule: {{cron: '{text}'}}" for text in (
        "0 0 12 ? * MON-FRI", "0 0 12 1 * ?", "0 0 12 * * ? *", "0 9 15W * ?", "0 0 LW * *",
        "0 0 12 ? * FRI#3")],
    "do: []\nschedule: {every: {milliseconds: 1}, after: PT0S}",
    "do: []\ninput: {schema: {format: 'json:2020', document: {type: object}}}",
    "document: {dsl: 1.0.0-alpha1, namespace: t, name: s, version: 1.0.0}\ndo: []",
    "do:\n- \U0001f6d2: {set: {x: 1}}",
    "do:\n- a: {for: {in: .x, each: pet, at: n}, while: $pet.ok,"
    " do: [{b: {set: '${ $pet + $n }'}}]}",
    "do:\n- a: {for: {in: .x}, do: [{b: {set: '${ $item + $index }'}}]}",
    "do:\n- a: {try: [], catch: {when: $error.status == 4, do: [{b: {set: '${ $error }'}}]}}",
    "do:\n- a: {listen: {to: {any: [], until: '.done'}}, foreach: {item: e, output: {as: $e},"
    " do: [{b: {set: '${ $e }'}}]}}",
    "do:\n- a: {set: {x: '${ . as $y | [$y] | map(. as [$z] | $z) }'}}",
    "do:\n- a: {set: {x: 'cost: ${ .x', y: 'a {b}', z: '$secrets.s'}}",
    "do:\n- a: {set: {x: '${ \"a} \\(.b) {\" }'}}",
    "do:\n- a: {call: f, metadata: {queue: '${ .q }'}}",
    "do:\n- a: {call: celery, with: {task: t, queue: '${ .q }'}}",
    "do:\n- a: {set: {x: '${ $context, $input, $output, $task, $workflow, $runtime }'}}",
    "do:\n- a: {set: {x: '${ {input: 1, env: 2} | .input }'}}",
    "evaluate: {mode: loose}\ndo:\n- a: {set: {x: 'not [ jq', y: '${ .a[ }'}}",
    "use: {functions: {f: {set: '${ $pet }'}}}\ndo:\n- a: {for: {in: .x, each: pet},"
    " do: [{b: {call: f}}]}",
    "use: {secrets: [s]}\ndo:\n- a: {call: f, with: {x: '${ $secrets.s }'}}",
    "use: {secrets: [s], authentications: {b: {bearer: {token: '${ $secrets.s.token }'}}}}\ndo: []",
    "use: {secrets: [s]}\ndo:\n- a: {set: {x: '${ $secrets.s }'}, metadata: {secretsInData: true}}",
    "use: {secrets: [s]}\ndo:\n- a: {call: f, metadata: {compensate: {call: u, onUnknown: true,"
    " with: {x: '${ $output.y + $input + $error.status + $secrets.s }'},"
    " metadata: {retry: {delay: PT1S}}}}}",
    "document: {dsl: 1.0.3, namespace: t, name: s, version: 1.0.0, "
    "metadata: {secretsInData: true}}\nuse: {secrets: [s]}\n"
    "do:\n- a: {set: {x: '${ $secrets.s }'}}",
    "document: {dsl: 1.0.3, namespace: t, name: s, version: 1.0.0, "
    "metadata: {mine: 1, onFault: hold,"
    " schedule: {timezone: Europe/Berlin, misfire: all, cap: 5, grace: PT1M, overlap: queue,"
    " jitter: PT1S, input: {d: '${ .due }'}, "
    "daylightSaving: {missing: run, repeated: both}}}}\ndo: []\nschedule: {after: PT1M}",
    "do:\n- a: {for: {in: .x}, do: [], metadata: {concurrency: 8, note: any, owner: {team: x}}}",
    "do:\n- a: {call: pay, metadata: {queue: q, priority: 0, onLost: fault, maxStarts: 1}}",
]  # fmt: skip


@pytest.mark.parametrize("text", ACCEPTED)
def test_accepted(text: str, evaluator: Evaluator):
    assert warnings(text, evaluator) == []


def test_tasks_that_no_worker_has_announced():
    text = (
        "use: {functions: {f: {call: mail.sent}}}\n"
        "do:\n- a: {call: pay.charge}\n- b: {call: f}\n"
        "- c: {call: celery, with: {task: pay.refund}}\n"
        "- d: {call: celery, with: {task: '${ .t }'}}\n- e: {call: http, with: {method: get,"
        " endpoint: https://x}}"
    )
    assert warnings(text) == []
    assert warnings(text, known_tasks={"pay.charge", "mail.send"}) == [
        "2:29: no worker has announced a task 'mail.sent', did you mean 'mail.send'?",
        "6:34: no worker has announced a task 'pay.refund'",
    ]
    assert len(warnings(text, known_tasks=())) == 3


def test_a_workflow_of_another_namespace_where_they_are_kept_apart():
    text = (
        "document: {dsl: 1.0.3, namespace: shop, name: s, version: 1.0.0}\ndo:\n"
        "- a: {run: {workflow: {namespace: shop, name: c, version: 1.0.0}}}\n"
        "- b: {run: {workflow: {namespace: '${ .of }', name: c, version: 1.0.0}}}\n"
        "- c: {try: [{d: {run: {workflow: {namespace: bank, name: c, version: latest}}}}],"
        " catch: {}}"
    )
    assert warnings(text) == []
    assert warnings(text, allows_other_namespaces=False) == [
        "5:46: a workflow runs those of its own namespace 'shop' only, not of 'bank'"
        " (ORCHESTRATOR_RUN_ACROSS_NAMESPACES is off); this task will fault"
    ]


def test_a_workflow_that_its_namespace_lacks():
    text = (
        "document: {dsl: 1.0.3, namespace: shop, name: s, version: 1.0.0}\ndo:\n"
        "- a: {run: {workflow: {namespace: shop, name: ordr, version: latest}}}\n"
        "- b: {if: .x, run: {workflow: {namespace: shop, name: s, version: 1.0.0}}}\n"
        "- c: {run: {workflow: {namespace: bank, name: order, version: latest}}}\n"
        "- d: {run: {workflow: {namespace: shop, name: '${ .n }', version: latest}}}"
    )
    asked: list[str] = []

    def known(namespace: str) -> list[str]:
        asked.append(namespace)
        return ["order", "pay"]

    assert warnings(text, known_workflows=known) == [
        "3:47: no workflow 'ordr' is deployed in the namespace 'shop', did you mean 'order'?"
    ]
    assert set(asked) == {"shop"}


def test_schedules_are_held_to_a_pause():
    text = "do: []\nschedule: {every: {milliseconds: 10}, after: PT2S}"
    assert warnings(text) == []
    assert warnings(text, shortest_interval=1.0) == [
        "3:19: fires every 1 s at most here (ORCHESTRATOR_SHORTEST_INTERVAL)"
    ]


def test_kinds_that_are_not_built():
    text = "do:\n- a: {run: {shell: {command: 'echo ${HOME} ${1}'}}}\n- b: {call: t}"
    assert warnings(text, built_kinds={"shell", "celery"}) == []
    assert len(warnings(text, built_kinds=())) == 2


@pytest.mark.parametrize(
    "process",
    ["shell: {command: '${ .x }'}", "script: {language: js, code: '${ .x }'}"],
)
def test_what_a_process_runs_is_the_documents_own_text(process: str) -> None:
    (error,) = errors(f"do:\n- a: {{run: {{{process}}}}}")
    assert "must be the document's own text; pass data as 'arguments'" in error


@pytest.mark.parametrize(
    "endpoint",
    ["'${ .x }'", "'https://{host}/a.js'", "{uri: '${ .x }'}", "{uri: '{+x}'}"],
)
def test_no_input_chooses_the_address_of_a_script(endpoint: str) -> None:
    script = f"script: {{language: js, source: {{endpoint: {endpoint}}}}}"
    found = errors(f"do:\n- a: {{run: {{{script}}}}}")
    assert any("the address of a script must be the document's own text" in one for one in found)


def test_processes_that_the_installation_does_not_allow():
    text = (
        "do:\n- a: {run: {shell: {command: ls}}}\n"
        "- b: {run: {script: {language: js, code: '`${name}`'}}}"
    )
    assert warnings(text, allows_process=lambda kind, namespace: True) == []
    assert warnings(text, allows_process=lambda kind, namespace: kind == "shell") == [
        "4:21: the installation does not allow run.script in the namespace 'test'"
        " (ORCHESTRATOR_RUN_SCRIPT); this task will fault"
    ]


def test_several_problems_of_several_topics_at_once():
    text = (
        "do:\n- a: {set: {x: '${ .a[ }'}, then: zz}\n- b: {wait: {days: -1}}\n"
        "- c: {call: f, metadata: {compensate: {raise: {error: e}}}}"
    )
    assert [error.partition(": ")[0] for error in errors(text)] == ["3:16", "3:35", "4:13", "5:55"]


def test_several_wrong_compensations_at_once():
    text = "do:\n" + "".join(
        f"- t{n}: {{call: f, metadata: {{compensate: {{cal: u}}}}}}\n" for n in range(3)
    )
    assert [error[:4] for error in errors(text)] == ["3:41", "4:41", "5:41"]


def test_one_wrong_expression_among_many_is_found():
    """They are compiled in bundles."""
    lines = [f"- t{n}: {{set: {{x: '${{ .a | map(. + {n}) }}'}}}}" for n in range(250)]
    lines[170] = "- bad: {set: {x: '${ .a | mapp(. + 1) }'}}"
    (found,) = errors("do:\n" + "\n".join(lines))
    assert found.startswith("173:18: the expression cannot be used: mapp/1 is not defined")


def test_an_expression_cannot_reach_out_of_its_bundle():
    text = (
        "do:\n- a: {set: {x: '${ . as $secret_ | [1] | map(.) # }', y: '${ $secret_ | map(.) }'}}"
    )
    (found,) = errors(text)
    assert "$secret_ is not defined" in found


@pytest.mark.slow
def test_too_many_tasks():
    def tasks(count: int) -> str:
        return "do:\n- f:\n    fork:\n      branches:\n" + "".join(
            f"      - b{n}: {{set: {{x: 1}}}}\n" for n in range(count)
        )

    loaded(tasks(MAX_TASKS - 1))
    (found,) = errors(tasks(MAX_TASKS))
    assert (
        found
        == f"{MAX_TASKS + 5}:9: the workflow has {MAX_TASKS + 1} tasks; the limit is {MAX_TASKS}"
    )


def test_fifty_levels_of_tasks_but_not_of_data():
    deep = "set: {x: 1}"
    for level in range(50):
        deep = f"fork: {{branches: [{{t{level}: {{{deep}}}}}]}}"
    loaded(f"do:\n- a: {{{deep}}}")
    data = "[" * 97 + "]" * 97
    loaded(f"do:\n- a: {{set: {{x: {data}}}}}")
    nested = "[" * 99 + "]" * 99
    assert errors(f"do:\n- a: {{set: {{x: {nested}}}}}") == ["3:3: more than 100 levels of nesting"]
