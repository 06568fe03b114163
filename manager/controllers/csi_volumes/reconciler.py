"""Reconciles CSI volumes on the leader: decides, calls drivers through agents, and writes the results.

The drivers' controllers run beside agents, and any agent that has one will do: calls are idempotent, and all state is
in the store. So the leader calls and agents forward: one writer, fenced, and no election among agents.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from manager.agents.agent_address import AgentAddress
from manager.controllers.csi_volumes.driver_calls import after_failure, after_success, failure_of, request_of
from manager.controllers.csi_volumes.next_volume_step import DriverCall, WriteStatus, copy_status, is_csi, next_steps
from manager.controllers.csi_volumes.step_backoff import StepBackoff
from manager.controllers.csi_volumes.volume_consumers import VolumeConsumers
from manager.controllers.csi_volumes.volume_facts import VolumeFacts, volume_facts
from manager.file_contents.driver_secrets import volumes_using
from manager.store import kinds
from manager.store.changes import PRESENT, Change, expect, put
from manager.store.record_store import RecordStore
from manager.store.tables import View
from shoal.api.v1.file_pb2 import File
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.streams_pb2 import CallDriverRequest, CallDriverResponse
from shoal.api.v1.task_pb2 import Task
from shoal.api.v1.volume_pb2 import NodeVolumes, Volume, VolumeStatus
from shoal.errors import Conflict, Exhausted, ShoalError, Timeout, Unavailable
from shoal.fault_points.injection import fault
from shoal.one_line import one_line
from shoal.task_group import TaskGroup
from shoal.telemetry.request_context import new_request, serve

MAX_CALLS_PER_DRIVER = 32
"""Per driver, so that one that hangs does not delay the others."""

_log = logging.getLogger(__name__)


class DriverCaller(Protocol):
    """`manager.agents.agent_channels.AgentChannels` is one."""

    async def call_driver(self, agent: AgentAddress, request: CallDriverRequest) -> CallDriverResponse:
        """Raises ShoalError when the agent does not respond, or does not have the driver."""
        ...

    async def observe_term(self, agent: AgentAddress, term: int) -> None:
        """Raises ShoalError when the agent does not respond, or a later term has begun."""
        ...


class SecretValues(Protocol):
    """`manager.file_contents.driver_secrets.DriverSecrets` is one."""

    def values(self, view: View, volume: Volume) -> Mapping[str, str]:
        """The secrets for the volume's driver, by its own keys. Raises ShoalError when one is missing."""
        ...


class CsiVolumeReconciler:
    """The only writer of `VolumeStatus`. Each volume is reconciled by one task."""

    def __init__(self, *, store: RecordStore, agents: DriverCaller, secrets: SecretValues) -> None:
        self._store = store
        self._agents = agents
        self._secrets = secrets
        self._calls: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(MAX_CALLS_PER_DRIVER))
        self._backoffs: dict[str, StepBackoff] = {}
        self._informed: set[str] = set()

    async def run(self, fence: int) -> None:
        """Until cancelled.

        Args:
            fence: the term's number.
        Raises:
            LeadershipLost: the term is over.
        """
        self._backoffs.clear()
        self._informed.clear()
        with self._store.follow() as changes:
            consumers = VolumeConsumers(self._store.tables)
            due = set(self._csi_volumes())
            async with TaskGroup() as group:
                while True:
                    for volume_id in due:
                        if (backoff := self._backoffs.get(volume_id)) is not None:
                            backoff.wake()
                        else:
                            self._backoffs[volume_id] = StepBackoff()
                            group.create_task(self._reconcile(volume_id, consumers, fence), name=f"volume {volume_id}")
                    due = self._affected(await anext(changes), consumers)

    def _csi_volumes(self) -> Iterable[str]:
        return (volume_id for volume_id, each in self._store.tables.volumes.items() if is_csi(each))

    def _affected(self, changes: Iterable[Change], consumers: VolumeConsumers) -> set[str]:
        """Volumes that changes may affect."""
        found: set[str] = set()
        for change in changes:
            record = change.new if change.new is not None else change.old
            match record:
                case Volume() | VolumeStatus():
                    found.add(change.identifier)
                case Task():
                    found.update(consumers.of_service(record.service_id))
                case NodeVolumes():
                    found.update(_published(change))
                case NodeStatus() if _is_relevant(change):
                    if _usable_drivers(change.new) - _usable_drivers(change.old):
                        self._retry_now()
                    found.update(self._csi_volumes())
                case File() if change.kind.name == kinds.SECRET.name:
                    self._retry_now()
                    found.update(volumes_using(self._store.tables, change.identifier))
            if change.kind.name == kinds.REVISION.name:
                consumers.update_revision(change)
            elif change.kind.name == kinds.TASK_STATUS.name:
                found.update(consumers.of_task(change.identifier))
            elif change.kind.name == kinds.NODE.name:
                found.update(self._csi_volumes())
        return {volume_id for volume_id in found if self._is_csi(volume_id)}

    def _is_csi(self, volume_id: str) -> bool:
        volume = self._store.tables.volumes.get(volume_id)
        return volume is not None and is_csi(volume)

    def _retry_now(self) -> None:
        """A driver may be back: reset all backoffs."""
        for backoff in self._backoffs.values():
            backoff.reset()

    async def _reconcile(self, volume_id: str, consumers: VolumeConsumers, fence: int) -> None:
        """Reconcile one volume until there is nothing left to do."""
        backoff = self._backoffs[volume_id]
        try:
            while (volume := self._store.tables.volumes.get(volume_id)) is not None:
                facts = volume_facts(self._store.tables, volume, consumers.nodes(volume_id))
                steps = next_steps(facts)
                if not steps:
                    return
                step = next((each for each in steps if backoff.is_due(each)), None)
                if step is None:
                    await backoff.wait(steps)
                elif await self._execute(step, facts, backoff, fence):
                    backoff.succeeded(step)
                else:
                    backoff.failed(step)
        finally:
            del self._backoffs[volume_id]

    async def _execute(
        self, step: WriteStatus | DriverCall, facts: VolumeFacts, backoff: StepBackoff, fence: int
    ) -> bool:
        try:
            if isinstance(step, WriteStatus):
                await self._write(step.status, fence)
                return True
            return await self._call(step, facts, backoff.failures(step), fence)
        except (Conflict, Exhausted, Unavailable, Timeout) as error:
            _log.warning("cannot write the state of volume %s: %s", facts.volume.spec.name, error)
            return False

    async def _call(self, call: DriverCall, facts: VolumeFacts, attempt: int, fence: int) -> bool:
        """Whether it succeeded; the result is written. In logs it is a request of its own, also on the node."""
        serve(new_request())
        name, controllers = facts.volume.spec.name, facts.driver.controllers
        if not controllers:
            known = facts.status is not None and facts.status.outcome_unknown
            why = f"driver {facts.volume.spec.driver} is unavailable: no ready node has its controller"
            await self._write(after_failure(call, why, outcome_unknown=known), fence)
            return False
        await self._write(call.status, fence)
        fault("manager.csi.call-recorded")
        await self._announce(controllers, fence)
        status, problem = await self._call_agent(call, facts, controllers[attempt % len(controllers)], fence)
        fault("manager.csi.called")
        if problem:
            _log.warning("volume %s cannot be %s yet; retrying: %s", name, call.method.value, problem)
        else:
            _log.info("volume %s is %s", name, call.method.value)
        await self._write(status, fence)
        fault("manager.csi.result-recorded")
        return not problem

    async def _announce(self, node_ids: Sequence[str], fence: int) -> None:
        """Have every node that a driver may be called through refuse former leaders, once in a term: one that was
        paused before a call may make it through another node. A node that does not respond is not waited for.
        """
        status = self._store.tables.node_status
        fresh = [each for each in node_ids if each not in self._informed and each in status]
        self._informed.update(fresh)
        agents = [AgentAddress.of(each, status[each].description) for each in fresh]
        answers = await asyncio.gather(
            *(self._agents.observe_term(each, fence) for each in agents), return_exceptions=True
        )
        for agent, answer in zip(agents, answers, strict=True):
            if isinstance(answer, ShoalError):
                self._informed.discard(agent.node_id)
                _log.warning("node %s may not refuse calls of former leaders: %s", agent.node_id, answer)
            elif isinstance(answer, BaseException):
                raise answer

    async def _call_agent(
        self, call: DriverCall, facts: VolumeFacts, node_id: str, fence: int
    ) -> tuple[VolumeStatus, str]:
        record = self._store.tables.node_status.get(node_id)
        if record is None:  # removed while the call was recorded; no driver was called
            why = f"node {node_id}, which has the driver's controller, was removed"
            return after_failure(
                call, why, outcome_unknown=facts.status is not None and facts.status.outcome_unknown
            ), why
        agent = AgentAddress.of(node_id, record.description)
        request = request_of(call, facts.volume, facts.driver)
        request.term = fence
        try:
            request.secrets.update(self._secrets.values(self._store.tables, facts.volume))
        except ShoalError as error:  # no driver was called
            return after_failure(
                call, str(error), outcome_unknown=facts.status is not None and facts.status.outcome_unknown
            ), str(error)
        try:
            async with self._calls[request.driver]:
                answer = await self._agents.call_driver(agent, request)
        except ShoalError as error:
            return after_failure(call, one_line(str(error)), outcome_unknown=True), str(error)
        if failure := failure_of(call, answer):
            return after_failure(call, failure.message, outcome_unknown=failure.outcome_unknown), failure.message
        return after_success(call, answer), ""

    async def _write(self, status: VolumeStatus, fence: int) -> None:
        if status == self._store.tables.volume_status.get(status.volume_id):
            return
        # The volume must exist, so that no status outlives it.
        await self._store.commit(
            [put(kinds.VOLUME_STATUS, status.volume_id, copy_status(status))],
            expects=[expect(kinds.VOLUME, status.volume_id, PRESENT)],
            fence=fence,
        )


def _published(change: Change) -> Iterable[str]:
    for record in (change.old, change.new):
        if isinstance(record, NodeVolumes):
            yield from (each.volume_id for each in record.publications)


def _usable_drivers(status: object) -> frozenset[str]:
    """Names of the drivers that can be called through a node; those with a problem are not among them."""
    if not isinstance(status, NodeStatus) or status.state != NodeStatus.READY:
        return frozenset()
    return frozenset(each.name for each in status.description.csi_drivers if not each.problem)


def _is_relevant(change: Change) -> bool:
    """Whether a node was added or removed, or has different drivers."""
    old, new = change.old, change.new
    if not isinstance(old, NodeStatus) or not isinstance(new, NodeStatus):
        return True
    return old.state != new.state or old.description.csi_drivers != new.description.csi_drivers
