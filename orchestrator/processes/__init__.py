"""Starting processes so that none is left behind: see `Supervisor` and `keeper`."""

from orchestrator.processes.process import TAIL, Process, ProcessFailed
from orchestrator.processes.readiness import http_ok, log_says, port_open
from orchestrator.processes.supervisor import Supervisor

__all__ = ["TAIL", "Process", "ProcessFailed", "Supervisor", "http_ok", "log_says", "port_open"]
