"""`manage.py orchestrator ...`: the command line with the project's settings."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from orchestrator.command_plugin import program


class Command(BaseCommand):  # type: ignore[misc]  # Django has no types
    """Passes everything on to `orchestrator`."""

    help = "The orchestrator's command line with the settings of this project."
    requires_system_checks: list[str] = []  # noqa: RUF012  (as Django declares it)

    def run_from_argv(self, argv: list[str]) -> None:
        """Run the command and exit with its status. Django would parse the options itself."""
        program(argv[2:], "manage.py orchestrator")

    def handle(self, *arguments: str, **_: Any) -> None:
        """Run the command from `call_command`. Raises `SystemExit` with its status."""
        program(list(arguments), "manage.py orchestrator")
