"""The keeper of volumes while this manager leads: decides, asks drivers by way of agents, writes what came of it.

The drivers' controllers stand beside agents, and any agent that has one will do: calls are idempotent, and what is
known is in the store. So the leader asks and agents hand on: one writer, fenced, and no agent to be elected.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from manager.control_api.seams import AgentAddress
from manager.dispatcher.admission import one_line
from manager.files.volume_secrets import naming
from manager.store import kinds
from manager.store.changes import PRESENT, Change, Expect, Write, expect, put
from manager.store.subscription import Subscription
from manager.store.tables import View
from manager.volume_keeper.calls import done, failed, failure_of, request_of
from manager.volume_keeper.decide import Call, copy_of, needs_keeper, next_steps
from manager.volume_keeper.decide import Write as Note
from manager.volume_keeper.facts import Facts, read
from manager.volume_keeper.pauses import Pauses
from manager.volume_keeper.users import Users
from shoal.api.v1.file_pb2 import File
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.streams_pb2 import CallDriverRequest, CallDriverResponse
from shoal.api.v1.task_pb2 import Task
from shoal.api.v1.volume_pb2 import NodeVolumes, Volume, VolumeStatus
from shoal.errors import Conflict, Exhausted, ShoalError, Timeout, Unavailable
from shoal.task_group import TaskGroup

AT_ONCE = 32
"""Calls of one driver: one that hangs keeps no other waiting."""

_log = logging.getLogger(__name__)


class Records(Protocol):
    """The part of the store that the keeper needs."""

    @property
    def tables(self) -> View: ...
    def follow(self) -> Subscription: ...
    async def commit(
        self, writes: Sequence[Write], *, expects: Sequence[Expect] = (), fence: int | None = None
    ) -> int: ...


class Agents(Protocol):
    """`manager.control_api.agent_channels.AgentChannels` is one."""

    async def call_driver(self, agent: AgentAddress, request: CallDriverRequest) -> CallDriverResponse:
        """Raises ShoalError when the agent does not answer, or has no such driver."""
        ...


class Secrets(Protocol):
    """`manager.files.volume_secrets.VolumeSecrets` is one."""

    def texts(self, view: View, volume: Volume) -> Mapping[str, str]:
        """What the volume's driver is given, by its own keys. Raises ShoalError when one cannot be had."""
        ...


class VolumeKeeper:
    """The only writer of `VolumeStatus`. One volume has at most one call under way."""

    def __init__(self, *, store: Records, agents: Agents, secrets: Secrets) -> None:
        self._store = store
        self._agents = agents
        self._secrets = secrets
        self._calls: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE))
        self._tended: dict[str, Pauses] = {}

    async def run(self, fence: int) -> None:
        """Until cancelled.

        Args:
            fence: the term's number.
        Raises:
            Deposed: the term is over.
        """
        self._tended.clear()
        with self._store.follow() as changes:
            users = Users(self._store.tables)
            due = set(self._driven())
            async with TaskGroup() as group:
                while True:
                    for volume_id in due:
                        if (pauses := self._tended.get(volume_id)) is not None:
                            pauses.look_again()
                        else:
                            self._tended[volume_id] = Pauses()
                            group.create_task(self._tend(volume_id, users, fence), name=f"volume {volume_id}")
                    due = self._concerned(await anext(changes), users)

    def _driven(self) -> Iterable[str]:
        return (volume_id for volume_id, each in self._store.tables.volumes.items() if needs_keeper(each))

    def _concerned(self, changes: Iterable[Change], users: Users) -> set[str]:
        """Volumes for which something may follow from changes."""
        found: set[str] = set()
        for change in changes:
            record = change.new if change.new is not None else change.old
            match record:
                case Volume() | VolumeStatus():
                    found.add(change.identifier)
                case Task():
                    found.update(users.of_service(record.service_id))
                case NodeVolumes():
                    found.update(_published(change))
                case NodeStatus() if _may_matter(change):
                    if _usable(change.new) - _usable(change.old):
                        self._encourage()
                    found.update(self._driven())
                case File() if change.kind.name == kinds.SECRET.name:
                    self._encourage()
                    found.update(naming(self._store.tables, change.identifier))
            if change.kind.name == kinds.REVISION.name:
                users.note_revision(change)
            elif change.kind.name == kinds.TASK_STATUS.name:
                found.update(users.of_task(change.identifier))
            elif change.kind.name == kinds.NODE.name:
                found.update(self._driven())
        return {volume_id for volume_id in found if self._is_driven(volume_id)}

    def _is_driven(self, volume_id: str) -> bool:
        volume = self._store.tables.volumes.get(volume_id)
        return volume is not None and needs_keeper(volume)

    def _encourage(self) -> None:
        """A driver may be back: nobody waits out a pause."""
        for pauses in self._tended.values():
            pauses.forget()

    async def _tend(self, volume_id: str, users: Users, fence: int) -> None:
        """One volume, until there is nothing to do for it."""
        pauses = self._tended[volume_id]
        try:
            while (volume := self._store.tables.volumes.get(volume_id)) is not None:
                facts = read(self._store.tables, volume, users.nodes(volume_id))
                steps = next_steps(facts)
                if not steps:
                    return
                step = next((each for each in steps if pauses.is_over(each)), None)
                if step is None:
                    await pauses.wait(steps)
                elif await self._carry_out(step, facts, pauses, fence):
                    pauses.succeeded(step)
                else:
                    pauses.failed(step)
        finally:
            del self._tended[volume_id]

    async def _carry_out(self, step: Note | Call, facts: Facts, pauses: Pauses, fence: int) -> bool:
        try:
            if isinstance(step, Note):
                await self._write(step.status, fence)
                return True
            return await self._call(step, facts, pauses.count(step), fence)
        except (Conflict, Exhausted, Unavailable, Timeout) as error:
            _log.warning("the state of volume %s was not written: %s", facts.volume.spec.name, error)
            return False

    async def _call(self, call: Call, facts: Facts, attempt: int, fence: int) -> bool:
        """Whether it succeeded; what came of it is written."""
        name, controllers = facts.volume.spec.name, facts.driver.controllers
        if not controllers:
            known = facts.status is not None and facts.status.uncertain
            why = f"driver {facts.volume.spec.driver} is away: no node answers that has its controller"
            await self._write(failed(call, why, uncertain=known), fence)
            return False
        await self._write(call.status, fence)
        status, problem = await self._ask(call, facts, controllers[attempt % len(controllers)])
        if problem:
            _log.warning("volume %s cannot be %s yet: %s", name, call.method.value, problem)
        else:
            _log.info("volume %s is %s", name, call.method.value)
        await self._write(status, fence)
        return not problem

    async def _ask(self, call: Call, facts: Facts, node_id: str) -> tuple[VolumeStatus, str]:
        record = self._store.tables.node_status.get(node_id)
        if record is None:  # removed while the call was written down; nobody was asked
            why = f"node {node_id}, which has its controller, was removed"
            return failed(call, why, uncertain=facts.status is not None and facts.status.uncertain), why
        agent = AgentAddress.of(node_id, record.description)
        request = request_of(call, facts.volume, facts.driver)
        try:
            request.secrets.update(self._secrets.texts(self._store.tables, facts.volume))
        except ShoalError as error:  # nobody was asked
            return failed(call, str(error), uncertain=facts.status is not None and facts.status.uncertain), str(error)
        try:
            async with self._calls[request.driver]:
                answer = await self._agents.call_driver(agent, request)
        except ShoalError as error:
            return failed(call, one_line(str(error)), uncertain=True), str(error)
        if failure := failure_of(call, answer):
            return failed(call, failure.message, uncertain=failure.uncertain), failure.message
        return done(call, answer), ""

    async def _write(self, status: VolumeStatus, fence: int) -> None:
        if status == self._store.tables.volume_status.get(status.volume_id):
            return
        # The volume must be there, so that no status outlives it.
        await self._store.commit(
            [put(kinds.VOLUME_STATUS, status.volume_id, copy_of(status))],
            expects=[expect(kinds.VOLUME, status.volume_id, PRESENT)],
            fence=fence,
        )


def _published(change: Change) -> Iterable[str]:
    for record in (change.old, change.new):
        if isinstance(record, NodeVolumes):
            yield from (each.volume_id for each in record.publications)


def _usable(status: object) -> frozenset[str]:
    """Names of the drivers that a node can be asked to call. One that only fails in other words is none of them."""
    if not isinstance(status, NodeStatus) or status.state != NodeStatus.READY:
        return frozenset()
    return frozenset(each.name for each in status.description.csi_drivers if not each.problem)


def _may_matter(change: Change) -> bool:
    """Whether a node has come, gone, or has other drivers."""
    old, new = change.old, change.new
    if not isinstance(old, NodeStatus) or not isinstance(new, NodeStatus):
        return True
    return old.state != new.state or old.description.csi_drivers != new.description.csi_drivers
