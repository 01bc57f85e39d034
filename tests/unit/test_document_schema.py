"""What authors are told about a document that the language does not allow."""

from __future__ import annotations

import pytest

from orchestrator.document import Diagnostic, InvalidDocument, load
from orchestrator.document.diagnostics import MAX_DIAGNOSTICS
from tests.support.official_schema import HEAD


def problems(text: str) -> list[Diagnostic]:
    with pytest.raises(InvalidDocument) as caught:
        load(HEAD + text, "application/yaml")
    return caught.value.problems


def test_the_promise_of_the_command_line():
    """`order.yaml:24:7: unknown key 'cal', did you mean 'call'?`"""
    text = "do:\n  - pay:\n      cal: payments.charge\n      with: {amount: 1}\n"
    assert problems(text) == [
        Diagnostic("/do/0/pay/cal", 4, 7, "unknown key 'cal', did you mean 'call'?")
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("do: {a: {set: {x: 1}}}", "2:5: should be a list, not a mapping"),
        ("do:", "2:1: has no value; it should be a list"),
        ("do:\n- a", "3:3: should be a mapping, not a text"),
        ("do:\n- a:", "3:3: has no value; it should be a mapping"),
        ("do:\n- {}", "3:3: must not be empty"),
        (
            "do:\n- a:\n  set: {x: 1}",
            "4:3: an item has one key, its name; here are 'a' and 'set'."
            " Indent what belongs to the name below it",
        ),
        (
            "do:\n- a: {then: end}",
            "3:3: a task needs one of the keys 'call', 'do', 'emit', 'for', 'fork', 'listen',"
            " 'raise', 'run', 'set', 'switch', 'try' or 'wait'",
        ),
        (
            "do:\n- a: {set: {x: 1}, call: f}",
            "3:7: a task is of one kind: 'call' and 'set' exclude each other",
        ),
        ("do:\n- a: {set: {x: 1}, iff: .y}", "3:20: unknown key 'iff', did you mean 'if'?"),
        ("do:\n- a: {set: {x: 1}, zzz: .y}", "3:20: unknown key 'zzz'"),
        (
            "do:\n- a: {call: t, compensate: {call: u}}",
            "3:16: unknown key 'compensate': it belongs under 'metadata' of the task",
        ),
        (
            "do:\n- a: {call: t, queue: q}",
            "3:16: unknown key 'queue': it belongs under 'metadata' of the task",
        ),
        (
            "do:\n- a: {call: t, retry: {delay: PT1S}}",
            "3:16: unknown key 'retry': it belongs under 'catch' of a 'try'",
        ),
        (
            "do: []\nschedule: {cron: '0 0 * * *', timezone: UTC}",
            "3:31: unknown key 'timezone': it belongs under 'schedule' in the 'metadata' of the"
            " 'document'",
        ),
        (
            "do:\n- a: {call: t, args: [1]}",
            "3:16: unknown key 'args': 'with' has the keyword arguments of a task itself; only"
            " 'call: celery' takes 'args' under 'with'",
        ),
        (
            "do:\n- a: {call: http, with: {method: get, endpoint: https://x}, headers: {a: b}}",
            "3:61: unknown key 'headers': it belongs under 'with'",
        ),
        (
            "do:\n- a: {set: {x: 1}, when: .y}",
            "3:20: unknown key 'when': the condition of a task is its 'if'",
        ),
        ("do:\n- a: {set: {}}", "3:7: must not be empty"),
        ("do:\n- a: {set: [1]}", "3:12: should be a text or a mapping, not a list"),
        ("do:\n- a: {switch: []}", "3:7: must not be empty"),
        ("do:\n- a: {switch: [{c: {when: .x}}]}", "3:17: missing key 'then'"),
        ("do:\n- a: {for: {in: .x}}", "3:3: missing key 'do'"),
        ("do:\n- a: {call: 5}", "3:13: should be a text, not a whole number; put it in quotes"),
        ("do:\n- a: {call: http}", "3:3: missing key 'with'"),
        (
            "do:\n- a: {call: http, with: {method: get, endpont: https://x}}",
            "3:39: unknown key 'endpont', did you mean 'endpoint'?",
        ),
        (
            "do:\n- a: {call: http, with: {method: get, endpoint: https://x, output: respons}}",
            "3:68: should be 'raw', 'content' or 'response', not 'respons',"
            " did you mean 'response'?",
        ),
        (
            "do:\n- a: {call: http, with: {method: get, endpoint: '${'}}",
            "3:49: should be a URI, like 'https://example.com/path', or an expression"
            " '${ ... }', not '${'",
        ),
        (
            "do:\n- a: {call: grpc, with: {proto: {endpoint: file://x}, method: m,"
            " service: {name: s, host: h, port: 70000}}}",
            "3:100: should be from 0 to 65535",
        ),
        (
            "do:\n- a: {call: asyncapi, with: {document: {endpoint: https://x}, channel: c}}",
            "3:23: one of the keys 'message' or 'subscription' is missing",
        ),
        (
            "do:\n- a: {run: {shell: {command: ls}, script: {language: js, code: x}}}",
            "3:13: only one of 'script' and 'shell' is allowed here",
        ),
        (
            "do:\n- a: {run: {}}",
            "3:7: one of the keys 'container', 'script', 'shell' or 'workflow' is missing",
        ),
        (
            "do:\n- a: {run: {container: {image: i, lifetime: {cleanup: never, after: PT1S}}}}",
            "3:69: should be left out unless 'cleanup' is 'eventually'",
        ),
        (
            "do:\n- a: {listen: {to: {one: {with: {type: t}}, until: .x}}}",
            "3:45: 'until' needs 'any' beside it",
        ),
        ("do:\n- a: {listen: {to: {one: {with: {}}}}}", "3:27: must not be empty"),
        (
            "do:\n- a: {wait: 5}",
            "3:13: should be a duration: 'PT15M' (ISO 8601), {minutes: 15}, or an expression"
            " '${ ... }', not a whole number",
        ),
        (
            "do:\n- a: {wait: 5 minutes}",
            "3:13: should be a duration: 'PT15M' (ISO 8601), {minutes: 15}, or an expression"
            " '${ ... }', not '5 minutes'",
        ),
        ("do:\n- a: {wait: {minute: 5}}", "3:14: unknown key 'minute', did you mean 'minutes'?"),
        ("do:\n- a: {wait: {}}", "3:7: must not be empty"),
        (
            "do:\n- a: {raise: {error: {type: https://x, status: 1, instance: '${ .x }'}}}",
            "3:61: should be a JSON pointer; an expression is not allowed here",
        ),
        ("do:\n- a: {try: [], catch: {errors: {with: {}}}}", "3:33: must not be empty"),
        ("do: []\nuse: {functons: {}}", "3:7: unknown key 'functons', did you mean 'functions'?"),
        (
            "do: []\nuse: {authentications: {a: {}}}",
            "3:25: one of the keys 'basic', 'bearer', 'digest', 'oauth2' or 'oidc' is missing",
        ),
        (
            "do: []\nuse: {authentications: {a: {basic: {use: ''}}}}",
            "3:37: must not be empty",
        ),
        (
            "do: []\nuse: {secrets: [5]}",
            "3:17: should be a text, not a whole number; put it in quotes",
        ),
        ("do: []\ninput: {schema: {}}", "3:9: one of the keys 'document' or 'resource' is missing"),
        ("do: []\ntimeout: {}", "3:1: missing key 'after'"),
        ("do: []\noutput: {az: .x}", "3:10: unknown key 'az'"),
        ("do: []\nschedule: {read: data}", "3:12: 'read' needs 'on' beside it"),
    ],
)  # fmt: skip
def test_a_problem_is_told_in_words_and_at_its_place(text: str, expected: str):
    assert [str(problem) for problem in problems(text)] == [expected]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("{dsl: 1.0, namespace: a, name: b, version: '1.0.0'}",
         "1:17: should be a semantic version, like '1.0.0', not a number; put it in quotes"),
        ("{dsl: '1.0.3', namespace: a.b, name: b, version: '1.0.0'}",
         "1:37: should be a name: 1 to 63 letters, digits and hyphens, none at the ends,"
         " not 'a.b'"),
        ("{dsl: '1.0.3', namespace: a, name: b, version: v1}",
         "1:58: should be a semantic version, like '1.0.0', not 'v1'"),
        ("{dsl: '1.0.3', namespace: a, name: b, version: '1.0.0', onFault: hold}",
         "1:67: unknown key 'onFault': it belongs under 'metadata' of the 'document'"),
        ("{dsl: '1.0.3', namespace: a, nam: b, version: '1.0.0'}",
         "1:40: unknown key 'nam', did you mean 'name'?"),
    ],
)  # fmt: skip
def test_the_document_section(head: str, expected: str):
    with pytest.raises(InvalidDocument) as caught:
        load(f"document: {head}\ndo: []\n")
    assert [str(problem) for problem in caught.value.problems] == [expected]


@pytest.mark.parametrize("text", ["- a\n", "5\n", "text\n", "true\n"])
def test_a_document_is_a_mapping(text: str):
    with pytest.raises(InvalidDocument, match="1:1: should be a mapping, not"):
        load(text)


def test_several_problems_are_told_at_once_in_order_of_position():
    text = (
        "timeout: 5\ndo:\n- b: {wait: 7}\n- a: {sett: {x: 1}}\nuse: {retries: {r: {dely: PT1S}}}\n"
    )
    found = problems(text)
    assert [problem.pointer for problem in found] == [
        "/timeout", "/do/0/b/wait", "/do/1/a/sett", "/use/retries/r/dely",
    ]  # fmt: skip
    with pytest.raises(InvalidDocument, match=r"2:10: .* \(and 3 more\)"):
        load(HEAD + text)


def test_problems_are_bounded():
    tasks = "".join(f"- t{n}: {{wait: {n}}}\n" for n in range(200))
    assert len(problems("do:\n" + tasks)) == MAX_DIAGNOSTICS


def test_a_document_follows_one_revision():
    """`catch.then` came when January's optional `authority` went."""
    later = "- a: {try: [], catch: {then: exit}}\n"
    earlier = (
        "- b: {call: http, with: {method: get,"
        " endpoint: {uri: https://x, authentication: {oauth2: {grant: password}}}}}\n"
    )
    load(HEAD + "do:\n" + later)
    load(HEAD + "do:\n" + earlier)
    assert [str(problem) for problem in problems("do:\n" + later + earlier)] == [
        "4:83: missing key 'authority'"
    ]


def test_messages_show_texts_safely():
    (problem,) = problems('do:\n- a: {wait: "' + "x" * 500 + '\\n\\u202e"}')
    assert len(problem.message) < 250
    assert problem.message.isprintable()
    (problem,) = problems('do:\n- a: {wait: "\\n\\u202e"}')
    assert problem.message.endswith("not '\ufffd\ufffd'")
