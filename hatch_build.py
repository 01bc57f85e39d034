"""Builds the console's pages into the sdist and the wheel.

Node is asked for only where pages must be built: not for editable installs (``make .venv`` builds
them), and not from an sdist, which has them.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsolePages(BuildHookInterface):  # type: ignore[type-arg,misc,unused-ignore]
    """The hook. ``ORCHESTRATOR_CONSOLE=off`` leaves the console out, ``required`` insists on it."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Return Node's package, where the pages must be built."""
        if _is_off() or _for_editable_install() or self._builder().is_built():
            return []
        # Elsewhere there is no wheel of it, and to compile Node takes hours.
        machines = ("x86_64", "AMD64", "aarch64", "arm64")
        marker = " or ".join(f"platform_machine == '{each}'" for each in machines)
        return [f"{self._builder().NODE_PACKAGE}; {marker}"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build the pages. Raises `RuntimeError` if they are required and can't be built."""
        builder = self._builder()
        if _is_off() or version == "editable" or builder.is_built():
            return
        try:
            npm = builder.npm_of_package()
            if npm is None:
                raise builder.NotBuilt("there is no Node for this machine")
            builder.build(npm)
        except (builder.NotBuilt, OSError) as error:
            if builder.required():
                raise RuntimeError(f"no console: {error}") from error
            self.app.display_warning(f"no console: {str(error).splitlines()[0]}")

    def _builder(self) -> ModuleType:
        """Return console/build_pages.py, which no package contains."""
        path = Path(self.root) / "console" / "build_pages.py"
        spec = importlib.util.spec_from_file_location("build_pages", path)
        if spec is None or spec.loader is None:
            raise FileNotFoundError(path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def _is_off() -> bool:
    return os.environ.get("ORCHESTRATOR_CONSOLE") == "off"


def _for_editable_install() -> bool:
    """Whether hatchling is asked what an editable install needs. It does not tell its hooks."""
    return any(frame.function == "get_requires_for_build_editable" for frame in inspect.stack())
