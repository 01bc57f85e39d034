"""Check the bounds of durations, retries and schedules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from orchestrator.document import cron_expression
from orchestrator.document.checks.check_context import Context
from orchestrator.document.cron_expression import CronSyntaxError
from orchestrator.document.durations import InvalidDuration, duration, has_calendar_units
from orchestrator.document.message_text import quoted, quoted_list
from orchestrator.document.model import escape
from orchestrator.document.task_sites import TaskSite
from orchestrator.expressions import is_expression

Json = Any

MAX_RETRIES = 100_000

#: Names that a placeholder like `${ .due }` can have in the input of a schedule's instances.
PLACEHOLDERS = ("due", "local", "schedule", "reason")

_PLACEHOLDER = re.compile(rf"\$\{{\s*\.({'|'.join(PLACEHOLDERS)})\s*\}}")


def check(context: Context) -> None:
    """Check that literal durations are valid, schedules fire and retries end."""
    _check_timeout(context, "/timeout", context.document.get("timeout"))
    for name, timeout in context.used("timeouts").items():
        _check_timeout(context, f"/use/timeouts/{escape(name)}", timeout)
    for name, policy in context.used("retries").items():
        _check_retry_policy(context, f"/use/retries/{escape(name)}", policy)
    for site in context.sites:
        _check_task(context, site)
    _check_schedule(context, context.document.get("schedule"))
    _check_schedule_policies(context, context.metadata.get("schedule") or {})


def _check_task(context: Context, site: TaskSite) -> None:
    body, pointer = site.body, site.pointer
    _check_timeout(context, f"{pointer}/timeout", body.get("timeout"))
    if site.kind == "wait":
        _check_duration(context, f"{pointer}/wait", body["wait"])
    elif site.kind == "try":
        _check_retry_policy(context, f"{pointer}/catch/retry", body["catch"].get("retry"))
    elif site.kind == "listen":
        _check_look_back(context, f"{pointer}/metadata/lookBack", site.metadata.get("lookBack"))
    elif site.kind in ("call", "run"):
        for place, value in _call_durations(site):
            _check_duration(context, pointer + place, value)
    if "metadata" in body:
        for name in ("timeLimit", "expires"):
            if name in site.metadata:
                _check_duration(context, f"{pointer}/metadata/{name}", site.metadata[name])
        _check_retry_policy(context, f"{pointer}/metadata/retry", site.metadata.get("retry"))


def _call_durations(site: TaskSite) -> Iterator[tuple[str, Json]]:
    """Yield the durations in the arguments of calls and processes."""
    arguments = site.body.get("with") or {}
    if site.kind == "run":
        lifetime = (site.body["run"].get("container") or {}).get("lifetime") or {}
        yield "/run/container/lifetime/after", lifetime.get("after")
    elif site.body["call"] == "mcp":
        yield "/with/timeout", arguments.get("timeout")
    elif site.body["call"] == "asyncapi":
        consume = (arguments.get("subscription") or {}).get("consume") or {}
        yield "/with/subscription/consume/for", consume.get("for")


def _check_timeout(context: Context, pointer: str, timeout: Json) -> None:
    if isinstance(timeout, dict):
        _check_duration(context, f"{pointer}/after", timeout["after"])


def _check_duration(context: Context, pointer: str, value: Json) -> float | None:
    """Return the seconds of a literal duration; None if it is an expression or invalid."""
    if value is None or is_expression(value):
        return None
    try:
        length = duration(value).total_seconds()
    except InvalidDuration as error:
        context.error(pointer, str(error))
        return None
    if has_calendar_units(value):
        message = "a year is 365 days here and a month 30, whenever it begins; days say the same"
        context.warn(pointer, message)
    return length


def _check_look_back(context: Context, pointer: str, value: Json) -> None:
    if is_expression(value):
        context.error(pointer, "how far a listener looks back cannot be an expression")
    _check_duration(context, pointer, value)


def _check_retry_policy(context: Context, pointer: str, policy: Json) -> None:
    if not isinstance(policy, dict):
        return
    _check_duration(context, f"{pointer}/delay", policy.get("delay"))
    limit = policy.get("limit") or {}
    _check_duration(context, f"{pointer}/limit/duration", limit.get("duration"))
    attempt = limit.get("attempt") or {}
    _check_duration(context, f"{pointer}/limit/attempt/duration", attempt.get("duration"))
    count = attempt.get("count", 0)
    if not 0 <= count <= MAX_RETRIES:
        message = f"retries are counted from 0 to {MAX_RETRIES}"
        context.error(f"{pointer}/limit/attempt/count", message)
    if not attempt and not limit.get("duration") and not {"delay", "backoff"} & policy.keys():
        message = "retries at once and without end: 'limit' or 'delay' is missing"
        context.warn(pointer, message, at_key=True)
    _check_jitter(context, f"{pointer}/jitter", policy.get("jitter"))
    _check_backoff(context, f"{pointer}/backoff", policy.get("backoff") or {})


def _check_jitter(context: Context, pointer: str, jitter: Json) -> None:
    if jitter is None:
        return
    low = _check_duration(context, f"{pointer}/from", jitter["from"])
    high = _check_duration(context, f"{pointer}/to", jitter["to"])
    if low is not None and high is not None and low > high:
        # Only warn about this jitter, because the retry may never be needed. If a retry is needed,
        # the step faults.
        context.warn(pointer, "the jitter ends before it begins", at_key=True)


def _check_backoff(context: Context, pointer: str, backoff: dict[str, Json]) -> None:
    """Check the two settings that the core reads. The specification leaves the content open."""
    increment = (backoff.get("linear") or {}).get("increment")
    _check_duration(context, f"{pointer}/linear/increment", increment)
    factor = (backoff.get("exponential") or {}).get("factor", 2)
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 1 <= factor <= 100:
        context.error(f"{pointer}/exponential/factor", "should be a number from 1 to 100")


def _check_schedule(context: Context, schedule: Json) -> None:
    if schedule is None:
        return
    if not any(key in schedule for key in ("every", "cron", "after", "on")):
        message = "a schedule needs one of the keys 'every', 'cron', 'after' or 'on'"
        context.error("/schedule", message, at_key=True)
    for key in ("every", "after"):
        length = _check_fixed(context, f"/schedule/{key}", schedule.get(key))
        if length == 0 and key == "every":
            context.error("/schedule/every", "a schedule cannot fire without any pause")
        elif length is not None and length < context.environment.shortest_interval:
            message = (
                f"fires every {context.environment.shortest_interval:g} s at most here"
                " (ORCHESTRATOR_SHORTEST_INTERVAL)"
            )
            context.warn(f"/schedule/{key}", message)
    if "every" in schedule and "cron" in schedule:
        message = "'cron' and 'every' fire independently: this workflow has two schedules"
        context.warn("/schedule/cron", message, at_key=True)
    if "cron" in schedule:
        _check_cron(context, schedule["cron"])


def _check_fixed(context: Context, pointer: str, value: Json) -> float | None:
    """Return the seconds of a duration that is needed before anything runs: no expression is
    allowed."""
    if is_expression(value):
        context.error(pointer, "a schedule cannot use an expression here: it has no data")
    return _check_duration(context, pointer, value)


def _check_placeholders(context: Context, pointer: str, value: Json) -> None:
    """Check a schedule's input. It has placeholders, not expressions: no instance runs when a
    schedule fires."""
    if isinstance(value, dict):
        for key, each in value.items():
            _check_placeholders(context, f"{pointer}/{escape(key)}", each)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            _check_placeholders(context, f"{pointer}/{index}", each)
    elif isinstance(value, str) and "${" in value and _PLACEHOLDER.fullmatch(value) is None:
        known = quoted_list(f"${{ .{name} }}" for name in PLACEHOLDERS)
        message = f"{quoted(value)} would be used literally; a schedule fills in {known}"
        context.error(pointer, message)


def _check_cron(context: Context, expression: str) -> None:
    try:
        cron_expression.check(expression)
    except CronSyntaxError as error:
        context.error("/schedule/cron", f"{quoted(expression)} is no cron expression: {error}")


def _check_schedule_policies(context: Context, policies: dict[str, Json]) -> None:
    pointer = "/document/metadata/schedule"
    for key in ("grace", "jitter"):
        _check_fixed(context, f"{pointer}/{key}", policies.get(key))
    _check_placeholders(context, f"{pointer}/input", policies.get("input"))
    if "timezone" in policies:
        name = policies["timezone"]
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            message = f"{quoted(name)} is not a known time zone"
            context.error(f"{pointer}/timezone", message)
