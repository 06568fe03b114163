"""The autoscaler's loop while this manager leads: measure, decide, write."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from manager.agents.usage_reader import ResourceUsage, UsageReader, UsageSource
from manager.controllers.autoscaler.replica_decision import Load, decide_replicas
from manager.planner.spec.effective_spec import effective, replicas_of
from manager.store.changes import Write, delete, put
from manager.store.kinds import AUTOSCALE
from manager.store.record_store import BatchStore
from manager.store.tables import View
from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.service_pb2 import AutoscaleStatus, Service, TaskTemplate
from shoal.api.v1.task_pb2 import Task
from shoal.errors import Timeout, Unavailable
from shoal.task_states import is_ready, should_run
from shoal.telemetry.request_context import new_request, serve

_log = logging.getLogger(__name__)

INTERVAL_SECONDS = 5.0


class Autoscaler:
    """The only writer of `AutoscaleStatus`. Asks only nodes that run tasks of services with an autoscaler.

    Args:
        now_ms: milliseconds since the Unix epoch.
    """

    def __init__(
        self,
        *,
        store: BatchStore,
        meters: UsageSource,
        now_ms: Callable[[], int],
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._store = store
        self._now_ms = now_ms
        self._interval_seconds = interval_seconds
        self._reader = UsageReader(view=lambda: store.tables, source=meters)

    async def run(self, fence: int) -> None:
        """Until cancelled.

        Args:
            fence: the term's number.
        Raises:
            LeadershipLost: the term is over.
        """
        while True:
            await asyncio.sleep(self._interval_seconds)
            serve(new_request())
            try:
                await self.step(fence)
            except (Unavailable, Timeout) as error:
                _log.warning("autoscaler decisions were not written: %s", error)

    async def step(self, fence: int | None) -> None:
        """Measure once and write what follows. Raises as the store does."""
        view = self._store.tables
        services = [service for service in view.services.values() if service.spec.HasField("autoscale")]
        tasks = [task for service in services for task in _serving(view, service)]
        uses, warnings = await self._reader.read(tasks)
        for warning in warnings:
            _log.info("usage was not measured: %s", warning)
        writes = [*_stale_records(view), *(write for each in services if (write := self._scale(view, each, uses)))]
        if writes:
            await self._store.commit_in_batches(writes, fence=fence)

    def _scale(self, view: View, service: Service, uses: dict[str, ResourceUsage]) -> Write | None:
        identifier, now_ms = service.meta.id, self._now_ms()
        if view.services.get(identifier) is not service:
            return None  # it changed while its tasks were measured
        known = view.autoscales.get(identifier)
        replicas, why = decide_replicas(service.spec.autoscale, known, load_of(view, service, uses), now_ms=now_ms)
        if known is not None and known.replicas == replicas:
            return None
        if why:
            _log.info("service %s: %s", service.spec.name, why)
        status = AutoscaleStatus(service_id=identifier, replicas=replicas, message=why)
        status.changed_at_ms = now_ms if why else known.changed_at_ms if known is not None else 0
        return put(AUTOSCALE, identifier, status)


def load_of(view: View, service: Service, uses: dict[str, ResourceUsage]) -> Load:
    """The measured load of the service. Pure."""
    serving = _serving(view, service)
    template = effective(view, service).spec.task
    cpus, memory = utilization_base(template).nano_cpus, utilization_base(template).memory_bytes
    measured = [uses[task.id] for task in serving if task.id in uses]
    return Load(
        replicas=replicas_of(view, service),
        ready=len(serving),
        utilization={
            "CPU": [use.nano_cpus / cpus for use in measured] if cpus else [],
            "memory": [use.memory_bytes / memory for use in measured] if memory else [],
        },
    )


def utilization_base(template: TaskTemplate) -> Resources:
    """What utilization is relative to: the reservation, else the limit."""
    reserved, limits = template.reservations, template.limits
    return Resources(
        nano_cpus=reserved.nano_cpus or limits.nano_cpus, memory_bytes=reserved.memory_bytes or limits.memory_bytes
    )


def _serving(view: View, service: Service) -> list[Task]:
    tasks = view.tasks_of(service.meta.id).values()
    return [task for task in tasks if should_run(task) and is_ready(task, view.task_status.get(task.id))]


def _stale_records(view: View) -> Iterable[Write]:
    """Delete the records of services that are gone, or have no autoscaler any more."""
    for identifier in list(view.autoscales):
        service = view.services.get(identifier)
        if service is None or not service.spec.HasField("autoscale"):
            yield delete(AUTOSCALE, identifier)
