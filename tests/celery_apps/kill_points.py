"""Kills the worker exactly once, at a point in a step that the test names.

The test sets KILL_AT to the point, KILL_STEP to the name of the step, KILL_WHOM to "child"
or "main", and KILL_MARK to a file that does not exist: the process that creates it kills.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any


def reached(point: str) -> None:
    """Kill the process named by KILL_WHOM, if this is the point and none was killed before."""
    if os.environ.get("KILL_AT") != point:
        return
    try:
        os.close(os.open(os.environ["KILL_MARK"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    if os.environ["KILL_WHOM"] == "main":
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def arm() -> None:
    """Wrap the product's functions with the points that lie in them."""
    if "KILL_AT" not in os.environ:
        return
    from orchestrator.state_manager import StateManager, post_commit

    step = os.environ["KILL_STEP"]
    claim, finish, follow_up = (
        StateManager.claim_attempt,
        StateManager.commit_result,
        post_commit.run_post_commit,
    )

    def killing_claim(self: Any, *args: Any, **kwargs: Any) -> Any:
        reached("before the claim")
        work = claim(self, *args, **kwargs)
        if work is not None and work.step.reference.endswith(step):
            reached("after the claim")
        return work

    def killing_finish(self: Any, work: Any, *args: Any, **kwargs: Any) -> Any:
        if work.step.reference.endswith(step):
            reached("before the commit")
        return finish(self, work, *args, **kwargs)

    def killing_follow_up(saved: Any, *args: Any, **kwargs: Any) -> Any:
        if any(changed.reference.endswith(step) for changed in saved.transition.changed):
            reached("after the commit")
        return follow_up(saved, *args, **kwargs)

    _replace(StateManager, "claim_attempt", killing_claim)
    _replace(StateManager, "commit_result", killing_finish)
    _replace(post_commit, "run_post_commit", killing_follow_up)


def _replace(owner: Any, name: str, function: Callable[..., Any]) -> None:
    setattr(owner, name, function)
