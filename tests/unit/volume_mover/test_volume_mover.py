"""The mover on a real store: what it asks of agents, and what is in the records when it or they fail at any point."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from manager.agents.agent_address import AgentAddress
from manager.controllers.volume_mover.move_runner import MoveRunner
from manager.controllers.volume_mover.volume_mover import VolumeMover
from manager.store import kinds
from manager.store.backend import NoSpace
from manager.store.changes import Write, delete, put
from manager.store.store import Store
from manager.volumes.volume_homes import end_move, home_of
from shoal.api.v1.container_pb2 import Mount, VolumeOptions
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeStatus
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.streams_pb2 import (
    DropVolumeCopyRequest,
    FetchVolumeProgress,
    FetchVolumeRequest,
    OfferVolumeRequest,
    OfferVolumeResponse,
)
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.api.v1.volume_pb2 import (
    LocalVolume,
    NodeVolumes,
    StaleVolumeCopy,
    Volume,
    VolumeMove,
    VolumeMoveStatus,
    VolumeSpec,
)
from shoal.errors import Exhausted, ShoalError, Unavailable
from shoal.telemetry.request_context import RequestContext, current_request
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd
from tests.polling import until

BEGAN_MS, OLD_MS, NOW_MS = 5_000, 1_000, 9_000


class Agents:
    """Attributes:
    errors: what the next fetches raise. hanging: a fetch does not end. cancelled: one was cancelled.
    drop_errors: what the next deletions raise.
    requests: the request that each call is a part of.
    meanwhile: written at the end of a copy. dropped: node and time of each copy that was.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.errors: list[ShoalError] = []
        self.requests: list[RequestContext | None] = []
        self.drop_errors: list[ShoalError] = []
        self.grants: list[bytes] = []
        self.fetches: list[FetchVolumeRequest] = []
        self.dropped: list[tuple[str, int]] = []
        self.meanwhile: list[Write] = []
        self.hanging = False
        self.cancelled = False

    async def offer_volume(self, agent: AgentAddress, request: OfferVolumeRequest) -> OfferVolumeResponse:
        assert (agent.node_id, request.to_node_id) == ("n1", "n2")
        self.grants.append(request.token)
        self.requests.append(current_request())
        return OfferVolumeResponse(content_bytes=100, created_at_ms=OLD_MS)

    async def fetch_volume(
        self, agent: AgentAddress, request: FetchVolumeRequest
    ) -> AsyncGenerator[FetchVolumeProgress, None]:
        assert agent.node_id == "n2" and request.from_address == "192.0.2.1:7441"
        self.fetches.append(request)
        self.requests.append(current_request())
        yield FetchVolumeProgress(bytes=40)
        try:
            if self.hanging:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.errors:
            raise self.errors.pop(0)
        await self._store.commit([held("n2", BEGAN_MS), *self.meanwhile])
        yield FetchVolumeProgress(bytes=100, complete=True)

    async def drop_volume_copy(self, agent: AgentAddress, request: DropVolumeCopyRequest) -> None:
        if self.drop_errors:
            raise self.drop_errors.pop(0)
        self.dropped.append((agent.node_id, request.created_at_ms))


def held(node_id: str, created_at_ms: int) -> Write:
    volumes = [LocalVolume(volume_id="v", name="data", created_at_ms=created_at_ms)]
    return put(kinds.NODE_VOLUMES, node_id, NodeVolumes(node_id=node_id, volumes=volumes))


def node(name: str, address: str) -> list[Write]:
    described = NodeDescription(hostname=name, address=address, stream_port=7441)
    status = NodeStatus(node_id=name, state=NodeStatus.READY, description=described)
    return [put(kinds.NODE, name, Node(meta=Meta(id=name))), put(kinds.NODE_STATUS, name, status)]


def with_mover(scenario: Callable[[Store, Agents], Awaitable[None]]) -> None:
    async def run() -> None:
        async with loaded_store(MemoryEtcd()) as store:
            agents = Agents(store)
            await store.commit([*node("n1", "192.0.2.1"), *node("n2", "192.0.2.2"), held("n1", OLD_MS)])
            moving = asyncio.create_task(VolumeMover(store=store, agents=agents, now_ms=lambda: NOW_MS).run(0))
            try:
                async with asyncio.timeout(60):
                    await scenario(store, agents)
            finally:
                moving.cancel()
                await asyncio.gather(moving, return_exceptions=True)

    asyncio.run(run())


def unmoved() -> Volume:
    return Volume(meta=Meta(id="v"), spec=VolumeSpec(name="data", driver="local"))


async def begin(store: Store) -> None:
    volume = unmoved()
    volume.moves.append(VolumeMove(from_node_id="n1", to_node_id="n2", started_at_ms=BEGAN_MS))
    await store.commit([put(kinds.VOLUME, "v", volume)])


def state(store: Store) -> int:
    status = store.tables.volume_status.get("v")
    return status.moves[0].state if status is not None and status.moves else 0


def test_the_home_changes_and_then_the_old_copy_goes() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        await begin(store)
        await until(lambda: state(store) == VolumeMoveStatus.DONE)
        assert home_of(store.tables, store.tables.volumes["v"], 0) == "n2"
        await until(lambda: not store.tables.volumes["v"].stale_copies)
        assert agents.dropped == [("n1", OLD_MS)]
        assert agents.fetches[0].token == agents.grants[0] and len(agents.grants[0]) == 32
        assert len(agents.requests) == 2 and len(set(agents.requests) - {None}) == 1, "both nodes log the same request"

    with_mover(scenario)


def test_a_move_during_which_etcd_is_full_goes_on_afterwards() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        agents.errors = [NoSpace("etcd has exceeded its space quota")]
        await begin(store)
        await until(lambda: state(store) in (VolumeMoveStatus.DONE, VolumeMoveStatus.FAILED))
        assert state(store) == VolumeMoveStatus.DONE
        assert home_of(store.tables, store.tables.volumes["v"], 0) == "n2"

    with_mover(scenario)


def down(name: str) -> Write:
    return put(kinds.NODE_STATUS, name, NodeStatus(node_id=name, state=NodeStatus.DOWN))


def test_the_old_copy_goes_though_its_node_loses_its_session_and_then_does_not_answer() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        agents.meanwhile = [down("n1")]
        agents.drop_errors = [Unavailable("the agent at 192.0.2.1:7441 does not answer")]
        await begin(store)
        await until(lambda: state(store) == VolumeMoveStatus.DONE)
        assert store.tables.volumes["v"].stale_copies and not agents.dropped
        await store.commit(node("n1", "192.0.2.1"))
        await until(lambda: not agents.drop_errors)
        assert store.tables.volumes["v"].stale_copies, "it is remembered until it is deleted"
        await until(lambda: not store.tables.volumes["v"].stale_copies)
        assert agents.dropped == [("n1", OLD_MS)]

    with_mover(scenario)


def test_a_deletion_that_failed_is_not_tried_again_at_once() -> None:
    async def scenario() -> None:
        async with loaded_store(MemoryEtcd()) as store:
            agents = Agents(store)
            agents.drop_errors = [Unavailable("the agent does not answer") for _ in range(5)]
            volume = unmoved()
            volume.stale_copies.append(StaleVolumeCopy(node_id="n1", created_at_ms=OLD_MS, home_node_id="n2"))
            await store.commit([*node("n1", "192.0.2.1"), *node("n2", "192.0.2.2")])
            await store.commit([held("n1", OLD_MS), held("n2", BEGAN_MS), put(kinds.VOLUME, "v", volume)])
            moves = MoveRunner("v", store, agents, lambda: NOW_MS, 0)
            for _ in range(5):
                await moves.step()
            assert len(agents.drop_errors) == 4

    asyncio.run(scenario())


def test_a_leader_that_follows_deletes_the_old_copy_and_twice_does_no_harm() -> None:
    """The leader before may have had it deleted, and not have come to write so."""

    async def scenario(store: Store, agents: Agents) -> None:
        agents.meanwhile = [down("n1")]
        await begin(store)
        await until(lambda: state(store) == VolumeMoveStatus.DONE)
        following = Agents(store)
        mover = asyncio.create_task(VolumeMover(store=store, agents=following, now_ms=lambda: NOW_MS).run(0))
        await store.commit(node("n1", "192.0.2.1"))
        await until(lambda: not store.tables.volumes["v"].stale_copies)
        mover.cancel()
        assert {*agents.dropped, *following.dropped} == {("n1", OLD_MS)}

    with_mover(scenario)


def test_a_copy_that_breaks_off_is_gone_on_with_under_a_new_grant() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        agents.errors = [Unavailable("the agent at 192.0.2.2:7441 does not answer")]
        await begin(store)
        await until(lambda: state(store) == VolumeMoveStatus.WAITING)
        waiting = store.tables.volume_status["v"].moves[0]
        assert "retrying" in waiting.message
        assert (waiting.attempts, waiting.bytes, waiting.total_bytes) == (1, 40, 100), "what is copied stays told"
        await until(lambda: state(store) == VolumeMoveStatus.DONE)
        assert store.tables.volume_status["v"].moves[0].attempts == 2
        assert len(set(agents.grants)) == 2 and agents.fetches[0].created_at_ms == agents.fetches[1].created_at_ms

    with_mover(scenario)


def test_what_cannot_be_done_ends_where_it_was_and_says_why() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        agents.errors = [Exhausted("the disk of volumes is full")]
        await begin(store)
        await until(lambda: state(store) == VolumeMoveStatus.FAILED)
        volume = store.tables.volumes["v"]
        assert store.tables.volume_status["v"].moves[0].message == "the disk of volumes is full"
        assert not volume.moves and not volume.homes
        await until(lambda: not store.tables.volumes["v"].stale_copies)
        assert agents.dropped == [("n2", BEGAN_MS)], "what was copied, and never the data"

    with_mover(scenario)


def test_a_cancelled_move_stops_at_once() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        agents.hanging = True
        await begin(store)
        await until(lambda: state(store) == VolumeMoveStatus.COPYING)
        await store.commit(
            [put(kinds.VOLUME, "v", end_move(store.tables.volumes["v"], slot=0, home="", now_ms=NOW_MS))]
        )
        await until(lambda: state(store) == VolumeMoveStatus.CANCELLED)
        assert agents.cancelled and not agents.dropped

    with_mover(scenario)


def test_data_that_a_task_came_to_use_meanwhile_stays_where_it_is_until_that_has_ended() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        revision = ServiceRevision(service_id="s", number=1)
        mount = Mount(type=Mount.VOLUME, source="v", target="/d", volume=VolumeOptions(name="data"))
        revision.spec.task.container.mounts.append(mount)
        writer = Task(id="t", service_id="s", revision=1, node_id="n1", desired_state=TaskState.RUNNING)
        agents.meanwhile = [put(kinds.REVISION, "s/1", revision), put(kinds.TASK, "t", writer)]
        await begin(store)
        await until(lambda: state(store) == VolumeMoveStatus.WAITING)
        volume = store.tables.volumes["v"]
        assert volume.moves and not volume.stale_copies and not agents.dropped
        agents.meanwhile = []
        await store.commit([delete(kinds.TASK, "t")])
        await until(lambda: state(store) == VolumeMoveStatus.DONE)
        assert len(agents.fetches) == 2, "what it wrote is copied too"

    with_mover(scenario)


def test_a_move_that_is_cancelled_at_the_very_end_is_none() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        agents.meanwhile = [put(kinds.VOLUME, "v", unmoved())]
        await begin(store)
        await until(lambda: state(store) == VolumeMoveStatus.CANCELLED)
        volume = store.tables.volumes["v"]
        assert home_of(store.tables, volume, 0) != "n2" and not agents.dropped

    with_mover(scenario)


def test_a_leader_that_follows_goes_on() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        agents.hanging = True
        await begin(store)
        await until(lambda: state(store) == VolumeMoveStatus.COPYING)
        following = Agents(store)
        mover = asyncio.create_task(VolumeMover(store=store, agents=following, now_ms=lambda: NOW_MS).run(0))
        await until(lambda: state(store) == VolumeMoveStatus.DONE)
        mover.cancel()
        assert following.fetches[0].created_at_ms == BEGAN_MS

    with_mover(scenario)
