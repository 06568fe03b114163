"""Serves an agent's health and metrics."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from agent.journal.journal import Journal
from agent.monitoring.agent_monitor import AgentMonitor
from agent.network.condition_reporter import ConditionReporter
from agent.session.manager_session import ManagerSession
from agent.settings import AgentSettings
from agent.worker.worker import Worker
from shoal.identity.identity import Identity
from shoal.monitoring.server import monitoring_server


def agent_monitoring(
    settings: AgentSettings,
    worker: Worker,
    session: ManagerSession,
    journal: Journal,
    condition: ConditionReporter,
    identity: Callable[[], Identity],
) -> AbstractAsyncContextManager[int]:
    """Within the block, as the settings say; the port, 0 where nothing is served."""
    monitor = AgentMonitor(
        worker=worker,
        session=session,
        journal=journal,
        condition=condition,
        identity=identity,
        disks={"state": settings.state_directory, "run": settings.run_directory},
    )
    return monitoring_server(
        settings.monitoring, checks=monitor.checks, collect=monitor.collect, identity=settings.identity_directory
    )
