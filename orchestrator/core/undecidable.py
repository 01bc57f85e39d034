"""What happens to a stimulus whose decision was begun several times and never finished.

The processes that decided it died, each after some time: of a bound of the machine, or killed. So
nothing is evaluated here: the step that the stimulus concerns faults, and becomes a dead letter
unless a `try` around it retries. A stimulus that concerns no step faults the instance.
"""

from __future__ import annotations

from orchestrator.core import instance_end, withdrawal
from orchestrator.core.commands import CommandRefused
from orchestrator.core.draft_nodes import Node
from orchestrator.core.dsl_errors import standard_error
from orchestrator.core.model import AttemptState, Status, Stimulus, StimulusKind
from orchestrator.core.task_kinds import StepFaulted, StimulusIgnored
from orchestrator.core.transition_draft import Draft

DETAIL = "the decision after this was begun several times and never finished"


def fault_undecidable(draft: Draft, stimulus: Stimulus) -> None:
    """Fault what the stimulus concerns.

    Raises:
        CommandRefused: it is a command.
        StepFaulted: the step.
        StimulusIgnored: it comes too late.
    """
    if stimulus.kind is StimulusKind.COMMAND:
        raise CommandRefused(DETAIL)
    if (stimulus.data or {}).get("run", draft.root.run) != draft.root.run:
        raise StimulusIgnored("it is of an earlier run")
    if not stimulus.step:
        return _fault_instance(draft)
    if stimulus.step not in draft.slice.steps:
        raise StimulusIgnored(f"there is no step {stimulus.step}")
    if stimulus.ended is not None:
        draft.ended.append(stimulus.ended)
    return _fault_step(draft, draft.node(stimulus.step), stimulus)


def _fault_instance(draft: Draft) -> None:
    root = draft.root
    if root.status is Status.PENDING:
        root.started_at = draft.at
        draft.set_instance_status(Status.RUNNING)
        draft.add_fact("workflow.started")
    if not root.is_open:
        raise LookupError("the instance has ended, and its compensation can't be decided")
    instance_end.fault_workflow(draft, standard_error("runtime", DETAIL), others_open=True)


def _fault_step(draft: Draft, node: Node, stimulus: Stimulus) -> None:
    error = standard_error("runtime", DETAIL)
    if node.get_state("draining") is not None:
        if stimulus.ended is None and node.get_state("result") is None:
            return withdrawal.on_drain_timeout(draft, node)
        node.set_state(result=None)
        return withdrawal.finish_draining(draft, node, AttemptState.LOST, None, error)
    is_agenda = stimulus.kind is StimulusKind.AGENDA
    if not node.is_open and not is_agenda:
        raise StimulusIgnored(f"the step is {node.status} already")
    raise StepFaulted(
        node,
        error,
        outcome_unknown=stimulus.ended is not None,
        running=not is_agenda and stimulus.ended is None,
        dead_letter="undecided",
    )
