"""The Django app: exports the settings and registers the checks."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks

from orchestrator.contrib.django.configuration import export
from orchestrator.contrib.django.system_checks import check_outbox, check_settings


class OrchestratorConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """`orchestrator.contrib.django` in `INSTALLED_APPS`."""

    name = "orchestrator.contrib.django"
    label = "orchestrator"
    verbose_name = "Workflows"

    def ready(self) -> None:
        """Export the settings. Django calls it once its apps are loaded."""
        export()
        checks.register(check_settings)
        checks.register(check_outbox, checks.Tags.database)
