"""What the checks at deployment assume is what the parts that run a document do."""

from __future__ import annotations

from dataclasses import fields

import pytest

from orchestrator.core.tasks import call, run
from orchestrator.document.checks import BUILT_KINDS
from orchestrator.document.checks.calls import LANGUAGE_KINDS
from orchestrator.document.dsl_schema.metadata_extensions import SCHEDULE
from orchestrator.document.model import Workflow
from orchestrator.document.schema_validation import validate
from orchestrator.document.task_sites import sites
from orchestrator.scheduler.schedules.policy_options import SchedulePolicy
from tests.support.official_schema import corpus
from tests.support.spec import CASES, SPEC, missing

absent = missing(SPEC, "ORCHESTRATOR_SPEC") or missing(CASES, "ORCHESTRATOR_CASES")


@pytest.mark.skipif(absent is not None, reason=str(absent))
def test_the_checks_see_every_task_that_the_core_can_reach():
    seen = 0
    for document in corpus():
        if validate(document):
            continue
        reached = {task.reference: task.kind for task in Workflow(document).every_task()}
        looked_at = {site.pointer: site.kind for site in sites(document)}
        # The core does not know the tasks of an AsyncAPI subscription yet.
        beyond = {pointer for pointer in looked_at if "/with/subscription/" in pointer}
        assert reached == {key: looked_at[key] for key in looked_at.keys() - beyond}
        seen += len(reached)
    assert seen > 500


def test_every_task_of_a_compensation_is_seen():
    undo = {"do": [{"x": {"call": "u", "metadata": {"compensate": {"call": "v"}}}}]}
    document = {
        "document": {"dsl": "1.0.3", "namespace": "t", "name": "n", "version": "1.0.0"},
        "do": [{"a": {"call": "f", "metadata": {"compensate": undo}}}],
    }
    assert {site.pointer for site in sites(document)} == {
        task.reference for task in Workflow(document).every_task()
    }


def test_kinds_of_calls():
    assert LANGUAGE_KINDS == call.DSL_KINDS
    assert call.BUILT_KINDS | run.BUILT_KINDS == BUILT_KINDS


def test_schedules():
    clock = {"missing", "repeated"}
    assert SCHEDULE.keys() - {"daylightSaving"} | clock == {
        each.name for each in fields(SchedulePolicy)
    }
    assert SCHEDULE["daylightSaving"]["properties"].keys() == clock
