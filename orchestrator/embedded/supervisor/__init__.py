"""Starts child processes so that none is left behind: see `Supervisor` and `subreaper_process`."""

from orchestrator.embedded.supervisor.process import TAIL, Process, ProcessFailed
from orchestrator.embedded.supervisor.process_supervisor import Supervisor
from orchestrator.embedded.supervisor.readiness import http_ok, log_says, port_open

__all__ = ["TAIL", "Process", "ProcessFailed", "Supervisor", "http_ok", "log_says", "port_open"]
