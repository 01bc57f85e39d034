"""Every operation of the API as a typed method."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from orchestrator.client.asynchronous.operations.administration_operations import (
    AsyncAdministrationOperations,
)
from orchestrator.client.asynchronous.operations.commands_operations import AsyncCommandsOperations
from orchestrator.client.asynchronous.operations.dead_letters_operations import (
    AsyncDeadLettersOperations,
)
from orchestrator.client.asynchronous.operations.doctor_operations import AsyncDoctorOperations
from orchestrator.client.asynchronous.operations.events_operations import AsyncEventsOperations
from orchestrator.client.asynchronous.operations.feed_operations import AsyncFeedOperations
from orchestrator.client.asynchronous.operations.graphs_operations import AsyncGraphsOperations
from orchestrator.client.asynchronous.operations.history_operations import AsyncHistoryOperations
from orchestrator.client.asynchronous.operations.instances_operations import (
    AsyncInstancesOperations,
)
from orchestrator.client.asynchronous.operations.keys_operations import AsyncKeysOperations
from orchestrator.client.asynchronous.operations.me_operations import AsyncMeOperations
from orchestrator.client.asynchronous.operations.operations_operations import (
    AsyncOperationsOperations,
)
from orchestrator.client.asynchronous.operations.schedules_operations import (
    AsyncSchedulesOperations,
)
from orchestrator.client.asynchronous.operations.secrets_operations import AsyncSecretsOperations
from orchestrator.client.asynchronous.operations.statistics_operations import (
    AsyncStatisticsOperations,
)
from orchestrator.client.asynchronous.operations.steps_operations import AsyncStepsOperations
from orchestrator.client.asynchronous.operations.stream_operations import AsyncStreamOperations
from orchestrator.client.asynchronous.operations.subscriptions_operations import (
    AsyncSubscriptionsOperations,
)
from orchestrator.client.asynchronous.operations.time_operations import AsyncTimeOperations
from orchestrator.client.asynchronous.operations.why_operations import AsyncWhyOperations
from orchestrator.client.asynchronous.operations.workflows_operations import (
    AsyncWorkflowsOperations,
)
from orchestrator.client.asynchronous.transport import AsyncTransport


class AsyncApi(
    AsyncWorkflowsOperations,
    AsyncGraphsOperations,
    AsyncStatisticsOperations,
    AsyncInstancesOperations,
    AsyncStepsOperations,
    AsyncHistoryOperations,
    AsyncCommandsOperations,
    AsyncTimeOperations,
    AsyncWhyOperations,
    AsyncDeadLettersOperations,
    AsyncOperationsOperations,
    AsyncSchedulesOperations,
    AsyncStreamOperations,
    AsyncFeedOperations,
    AsyncEventsOperations,
    AsyncSubscriptionsOperations,
    AsyncAdministrationOperations,
    AsyncDoctorOperations,
    AsyncSecretsOperations,
    AsyncKeysOperations,
    AsyncMeOperations,
):
    """Every operation of the API. Lists are iterators over all pages; streams continue after a
    broken connection. `more` are further parameters, such as ``{"label.team": "a"}``."""

    def __init__(self, transport: AsyncTransport) -> None:
        self.transport = transport


__all__ = ["AsyncApi"]
