"""What differs between systems: the servers' binaries, and how Postgres finds its folder.

`linux` and `macos` have the same names; `this_machine` returns the module of the running system.
"""

from __future__ import annotations

import sys
from types import ModuleType

from orchestrator.embedded.machine import linux, macos


def this_machine(system: str = sys.platform) -> ModuleType:
    """Return the module of a system as Python names it: ``darwin`` is macOS, all others Linux."""
    return macos if system == "darwin" else linux
