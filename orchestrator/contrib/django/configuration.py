"""The setting `ORCHESTRATOR` of a Django project.

Its members are the orchestrator's own settings without their prefix (``API_URL`` is
``ORCHESTRATOR_API_URL``), and:

    NAMESPACE   of workflows that are named without one
    DATABASE    the alias of the database that has the orchestrator's tables; default: "default".
                None: the outbox is not used, and its checks are left out
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from orchestrator.document.message_text import nearest_word, suggestion
from orchestrator.settings import Settings, load_settings, variable

_OWN = ("NAMESPACE", "DATABASE")
#: What to set where nothing is: the outbox's tables are in Django's own database.
_DEFAULTS: Mapping[str, Any] = {"NAMESPACE": "default", "DATABASE": "default"}


def configured() -> Mapping[str, Any]:
    """Return the project's setting; empty where it has none, or one that is no dictionary."""
    from django.conf import settings

    found = getattr(settings, "ORCHESTRATOR", {})
    return found if isinstance(found, Mapping) else {}


def option(name: str) -> Any:
    """Return `NAMESPACE` or `DATABASE`."""
    return configured().get(name, _DEFAULTS[name])


def named(workflow: str) -> str:
    """Return a workflow's name with its namespace."""
    return workflow if "/" in workflow else f"{option('NAMESPACE')}/{workflow}"


def export() -> None:
    """Put the settings into this process's environment, where the orchestrator reads them. A
    variable that is set already wins, as everywhere."""
    for name, value in configured().items():
        if name not in _OWN and value is not None:
            os.environ.setdefault(variable(name.lower()), str(value))


def unknown_names() -> list[str]:
    """Return a message for each member that is no setting."""
    known = [*(field.name.upper() for field in fields(Settings)), *_OWN]
    return [
        f"ORCHESTRATOR has an unknown setting {name!r}{suggestion(nearest_word(str(name), known))}"
        for name in configured()
        if name not in known
    ]


def console_url(instance: str) -> str:
    """Return the address of an instance in the console."""
    settings = load_settings()
    base = (settings.public_url or settings.api_url).rstrip("/")
    return f"{base}/console/instances/{instance}"
