"""Mistakes in a test, as it sees them: each says what is wrong and how to put it right."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from orchestrator.errors import OrchestratorError


class TestingError(OrchestratorError):
    """A mistake in a test of a workflow. Nothing of it reaches the workflow itself."""

    #: pytest collects classes by their name.
    __test__ = False


class UnknownTask(TestingError):
    """A document calls a Celery task that the app does not have and the test does not stub."""


class UnknownStub(TestingError):
    """A test stubs a task that nothing calls."""


class UnstubbedRequest(TestingError):
    """A document makes an HTTP request that the test does not answer."""


class UnknownWorkflow(TestingError):
    """A test, or a document, names a workflow that was not added."""


class UnknownStep(TestingError, KeyError):
    """A test asks for a step that the instance has not."""

    def __str__(self) -> str:
        return str(self.args[0])


class CommandRefused(TestingError):
    """An instance refused a command: it does not fit its status. REST answers 409 there."""


class NoEnd(TestingError):
    """A workflow does not end: it went on for too many steps."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``, did you mean 'x'?`` for the nearest known name; empty without one."""
    found = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f", did you mean {found[0]!r}?" if found else ""
