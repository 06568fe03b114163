"""What nodes keep of containers that the cluster has no record of: shown, removed, and adopted."""

import pytest

from manager.agents.agent_address import AgentAddress
from manager.containers.orphan_removal import OrphanRemoval
from manager.nodes.node_warnings import NodeWarnings
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.engine_pb2 import CreateContainerRequest, ListChangesRequest, RemoveOrphanedContainersRequest
from shoal.api.v1.node_pb2 import NodeStatus, OrphanedContainer
from shoal.container_ids import short_container_id
from shoal.errors import InvalidInput, NotFound, Refused, Unavailable
from tests.unit.manager_api.containers.container_rig import ContainerRig, definition, with_rig
from tests.unit.manager_api.control_rig import ADMIN

FIRST, SECOND = "aaaaaaaaaaaaa", "aabaaaaaaaaaa"


class Agents:
    """Notes what is removed."""

    def __init__(self) -> None:
        self.removed: list[tuple[str, str]] = []

    async def remove_orphan(self, agent: AgentAddress, request: ListChangesRequest) -> None:
        self.removed.append((agent.node_id, request.container))


async def report(rig: ContainerRig, node: str, *identifiers: str) -> None:
    status = NodeStatus()
    status.CopyFrom(rig.store.tables.node_status[node])
    del status.orphaned_containers[:]
    status.orphaned_containers.extend(
        OrphanedContainer(id=each, name=f"db-{each[2]}", image="docker.io/library/busybox:1@sha256:" + "1" * 64)
        for each in identifiers
    )
    status.orphaned_count = len(identifiers)
    await rig.store.commit([put(kinds.NODE_STATUS, node, status)])


def test_they_are_warned_of_and_removed_on_a_users_word() -> None:
    async def play(rig: ContainerRig) -> None:
        agents = Agents()
        removal = OrphanRemoval(store=rig.store, agents=agents)
        await report(rig, "h1", FIRST, SECOND)
        view = rig.store.tables
        assert any("2 containers that have no record" in each for each in NodeWarnings(view).warnings_for("h1"))
        assert not any("no record" in each for each in NodeWarnings(view).warnings_for("h2"))

        async def remove(node: str, *containers: str) -> list[str]:
            request = RemoveOrphanedContainersRequest(node=node, containers=containers)
            return list((await removal.remove(request, ADMIN)).ids)

        with pytest.raises(InvalidInput, match="ambiguous"):
            await remove("h1", "aa")
        with pytest.raises(NotFound, match="no node has reported"):
            await remove("h2", FIRST)
        with pytest.raises(NotFound, match="no node has reported"):
            await remove("h1", FIRST, "zz")
        assert agents.removed == [], "all or nothing"
        assert await remove("h1", short_container_id(FIRST)) == [FIRST]
        assert await remove("h1", "db-b") == [SECOND]
        assert await remove("h1") == [FIRST, SECOND]
        assert agents.removed == [("h1", FIRST), ("h1", SECOND), ("h1", FIRST), ("h1", SECOND)]
        await rig.lose("h1")
        with pytest.raises(Unavailable, match="h1 has been down since"):
            await remove("h1")

    with_rig(play)


def test_one_is_adopted_with_its_id_where_it_is() -> None:
    async def play(rig: ContainerRig) -> None:
        await report(rig, "h2", FIRST)
        request = CreateContainerRequest(name="db", definition=definition(), adopt=short_container_id(FIRST))
        made = await rig.records.create(request, ADMIN)
        assert (made.container.meta.id, made.node_id) == (FIRST, "h2")
        with pytest.raises(NotFound, match="no node has reported"):
            await rig.records.create(request, ADMIN)
        assert (await rig.start("db")).node_id == "h2"

    with_rig(play)


def test_one_that_cannot_be_placed_stays_an_orphan() -> None:
    async def play(rig: ContainerRig) -> None:
        await rig.lose("h2")
        await report(rig, "h2", FIRST)
        with pytest.raises(Refused, match="h2"):
            await rig.records.create(CreateContainerRequest(definition=definition(), adopt=FIRST), ADMIN)
        assert FIRST not in rig.store.tables.containers

    with_rig(play)
