"""Every operation of the API as a typed method."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from orchestrator.client.synchronous.operations.administration_operations import (
    AdministrationOperations,
)
from orchestrator.client.synchronous.operations.commands_operations import CommandsOperations
from orchestrator.client.synchronous.operations.dead_letters_operations import (
    DeadLettersOperations,
)
from orchestrator.client.synchronous.operations.doctor_operations import DoctorOperations
from orchestrator.client.synchronous.operations.events_operations import EventsOperations
from orchestrator.client.synchronous.operations.feed_operations import FeedOperations
from orchestrator.client.synchronous.operations.graphs_operations import GraphsOperations
from orchestrator.client.synchronous.operations.history_operations import HistoryOperations
from orchestrator.client.synchronous.operations.instances_operations import (
    InstancesOperations,
)
from orchestrator.client.synchronous.operations.keys_operations import KeysOperations
from orchestrator.client.synchronous.operations.me_operations import MeOperations
from orchestrator.client.synchronous.operations.operations_operations import (
    OperationsOperations,
)
from orchestrator.client.synchronous.operations.schedules_operations import (
    SchedulesOperations,
)
from orchestrator.client.synchronous.operations.secrets_operations import SecretsOperations
from orchestrator.client.synchronous.operations.statistics_operations import (
    StatisticsOperations,
)
from orchestrator.client.synchronous.operations.steps_operations import StepsOperations
from orchestrator.client.synchronous.operations.stream_operations import StreamOperations
from orchestrator.client.synchronous.operations.subscriptions_operations import (
    SubscriptionsOperations,
)
from orchestrator.client.synchronous.operations.time_operations import TimeOperations
from orchestrator.client.synchronous.operations.why_operations import WhyOperations
from orchestrator.client.synchronous.operations.workflows_operations import (
    WorkflowsOperations,
)
from orchestrator.client.synchronous.transport import Transport


class Api(
    WorkflowsOperations,
    GraphsOperations,
    StatisticsOperations,
    InstancesOperations,
    StepsOperations,
    HistoryOperations,
    CommandsOperations,
    TimeOperations,
    WhyOperations,
    DeadLettersOperations,
    OperationsOperations,
    SchedulesOperations,
    StreamOperations,
    FeedOperations,
    EventsOperations,
    SubscriptionsOperations,
    AdministrationOperations,
    DoctorOperations,
    SecretsOperations,
    KeysOperations,
    MeOperations,
):
    """Every operation of the API. Lists are iterators over all pages; streams continue after a
    broken connection. `more` are further parameters, such as ``{"label.team": "a"}``."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport


__all__ = ["Api"]
