"""``/v1/doctor``: whether the installation is in order, as `orchestrator doctor` finds it."""

from __future__ import annotations

from typing import Any

from flask import Response

from api.http.app_state import scope, state
from api.http.authentication import Role
from api.http.resource_blueprint import Resource, respond
from api.schemas.doctor import DoctorSchema
from api.shared.doctor_reports import Report
from orchestrator.database.instances import instance_queries
from orchestrator.doctor.finding import Finding, shortened

#: Largest number of findings of one check.
_MOST = 20
_SEVERITIES = {"failed": "error", "inconsistent": "warning", "note": "note"}

blueprint = Resource("doctor", __name__, url_prefix="/v1/doctor", description="Is all in order?")


@blueprint.route("", role=Role.OPERATOR)
@blueprint.answers(200, DoctorSchema)
def doctor() -> Response:
    """What is not in order, and what to do about it

    The findings of `orchestrator doctor`, which can repair them. A report is at least 10 s old
    before the next one is made: see `checked_at`. A key for some namespaces gets the findings about
    processes, and those about its own instances.
    """
    report = state().doctor.latest()
    ids = {each.instance for each in report.findings if each.instance}
    names = instance_queries.names(state().services.database, ids, scope())
    seen = [each for each in report.findings if _is_visible(report, each, names)]
    found = [each for each in seen if each.state != "ok"]
    return respond(
        {
            "checked_at": report.checked_at,
            "findings": [_finding_json(each, names) for each in shortened(found, _MOST)],
            "passed": [
                {"kind": each.check, "message": each.found} for each in seen if each.state == "ok"
            ],
        }
    )


def _is_visible(report: Report, finding: Finding, names: dict[str, str | None]) -> bool:
    """Whether the caller may see a finding. One without an instance can name things of any
    namespace."""
    if finding.instance:
        return finding.instance in names
    return scope().namespaces is None or finding.check not in report.of_data


def _finding_json(finding: Finding, names: dict[str, str | None]) -> dict[str, Any]:
    return {
        "kind": finding.check,
        "severity": _SEVERITIES[finding.state],
        "message": finding.found,
        "advice": finding.advice,
        "instance": finding.instance,
        "business_id": names.get(finding.instance or ""),
        "step": finding.step,
    }
