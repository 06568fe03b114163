"""What a node is to others: settled once, changed by users, with a warning where its agent says otherwise."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from manager.nodes.node_handler import NodeHandler
from manager.nodes.node_warnings import NodeWarnings
from manager.store.changes import put
from manager.store.kinds import NODE_STATUS
from shoal.api.v1.control_pb2 import GetNodeRequest, NodeView, RemoveNodeRequest, UpdateNodeRequest
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeStatus
from shoal.errors import AlreadyExists, InvalidInput
from tests.integration.session.session_rig import FixedHost, ManagerProcess, SessionRig, address_of, one_manager
from tests.polling import until
from tests.unit.manager_api.control_rig import ADMIN


class Host(FixedHost):
    """One that tests give a name, an address and labels."""

    def __init__(self, hostname: str, address: str = "", **labels: str) -> None:
        super().__init__(hostname)
        self.description.address = address or self.description.address
        self.description.engine_labels.update(labels)

    def report(self, **changed: str) -> None:
        new = NodeDescription()
        new.CopyFrom(self.description)
        for field, value in changed.items():
            setattr(new, field, value)
        self.change(new)


def nodes_of(manager: ManagerProcess) -> NodeHandler:
    return NodeHandler(store=manager.store, now_ms=lambda: 0)


async def update(manager: ManagerProcess, node: str, **identity: str) -> NodeView:
    """As `shoal node update --hostname … --address …` does it."""
    current = (await nodes_of(manager).get(GetNodeRequest(node=node), ADMIN)).node
    for field, value in identity.items():
        setattr(current.spec.identity, field, value)
    request = UpdateNodeRequest(node=current.meta.id, version=current.meta.version, spec=current.spec)
    return await nodes_of(manager).update(request, ADMIN)


def warnings(manager: ManagerProcess, node_id: str) -> list[str]:
    return list(NodeWarnings(manager.store.tables).warnings_for(node_id))


def status(manager: ManagerProcess, node_id: str) -> NodeStatus:
    return manager.store.tables.node_status.get(node_id, NodeStatus())


@asynccontextmanager
async def ready(rig: SessionRig, manager: ManagerProcess, node_id: str, host: FixedHost) -> AsyncGenerator[None]:
    async with rig.agent(node_id, [manager.address], host=host):
        await until(lambda: status(manager, node_id).state == NodeStatus.READY)
        yield


def test_a_host_with_another_address_waits_for_a_user_and_comes_back_by_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = SessionRig(tmp_path)
        async with one_manager(rig, "n1") as manager:
            async with ready(rig, manager, "n1", Host("h1", "192.0.2.5")):
                pass
            async with rig.agent("n1", [manager.address], host=Host("h1", "192.0.2.9")):
                await until(lambda: bool(status(manager, "n1").session_error))
                assert warnings(manager, "n1") == [
                    "its address changed from 192.0.2.5 to 192.0.2.9; to accept the new address, run "
                    "`shoal node update --address 192.0.2.9 h1`"
                ]
                await until(lambda: status(manager, "n1").state == NodeStatus.DOWN)
                await update(manager, "h1", address="192.0.2.9")
                await until(lambda: status(manager, "n1").state == NodeStatus.READY)
            assert status(manager, "n1").description.address == "192.0.2.9"
            assert warnings(manager, "n1") == []
            assert set(manager.store.tables.names) == {"node/h1", "node-address/192.0.2.9"}

    asyncio.run(scenario())


def test_another_hostname_waits_while_the_node_works_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig, host = SessionRig(tmp_path), Host("h1")
        async with one_manager(rig, "n1") as manager, ready(rig, manager, "n1", host):
            host.report(hostname="h2")
            await until(lambda: status(manager, "n1").HasField("reported_identity"))
            assert status(manager, "n1").state == NodeStatus.READY
            assert status(manager, "n1").description.hostname == "h1"
            (line,) = warnings(manager, "n1")
            assert (
                line
                == 'its agent reports the hostname "h2"; to rename the node, run `shoal node update --hostname h2 h1`'
            )
            await update(manager, "h1", hostname="h2")
            await until(lambda: status(manager, "n1").description.hostname == "h2")
            assert warnings(manager, "n1") == []
            assert "node/h2" in manager.store.tables.names
            assert "node/h1" not in manager.store.tables.names

    asyncio.run(scenario())


def test_labels_are_accepted_one_by_one_in_words_that_a_shell_takes(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = SessionRig(tmp_path)
        async with one_manager(rig, "n1") as manager:
            async with ready(rig, manager, "n1", Host("h1", rack="r1", gone="x")):
                pass
            async with ready(rig, manager, "n1", Host("h1", rack="$(reboot)")):
                await until(lambda: status(manager, "n1").HasField("reported_identity"))
                assert dict(status(manager, "n1").description.engine_labels) == {"rack": "r1", "gone": "x"}
                (line,) = warnings(manager, "n1")
                command = "shoal node update --engine-label-add 'rack=$(reboot)' --engine-label-rm gone h1"
                assert line.endswith(f"run `{command}`")

    asyncio.run(scenario())


def test_a_user_who_changes_the_address_under_a_session_ends_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = SessionRig(tmp_path)
        async with one_manager(rig, "n1") as manager, ready(rig, manager, "n1", Host("h1", "192.0.2.5")):
            await update(manager, "n1", address="192.0.2.6")
            await until(lambda: "from 192.0.2.6 to" in status(manager, "n1").session_error)

    asyncio.run(scenario())


def test_two_nodes_that_come_at_once_to_two_managers_do_not_share_a_name(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig, nodes = SessionRig(tmp_path), ("n1", "n2")
        async with (
            one_manager(rig, *nodes) as one,
            rig.manager("m2") as two,
            rig.agent("n1", [one.address], host=Host("same", "192.0.2.1")),
            rig.agent("n2", [two.address], host=Host("SAME", "192.0.2.2")),
        ):
            await until(lambda: [bool(status(one, each).session_error) for each in nodes].count(True) == 1)
            await until(lambda: [status(one, each).state for each in nodes].count(NodeStatus.READY) == 1)
            (refused,) = (each for each in nodes if status(one, each).session_error)
            assert status(one, refused).state != NodeStatus.READY
            assert one.store.tables.names["node/same"].meta.id != refused

    asyncio.run(scenario())


def test_a_removed_nodes_name_and_address_are_free_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = SessionRig(tmp_path)
        async with one_manager(rig, "n1", "n2") as manager:
            async with ready(rig, manager, "n1", Host("h1", "192.0.2.5")):
                pass
            async with rig.agent("n2", [manager.address], host=Host("h1", "192.0.2.5")):
                await until(lambda: "run `shoal node rm n1`" in status(manager, "n2").session_error)
                await nodes_of(manager).remove(RemoveNodeRequest(node="n1", force=True), ADMIN)
                await until(lambda: status(manager, "n2").state == NodeStatus.READY)
            assert {record.meta.id for record in manager.store.tables.names.values()} == {"n2"}

    asyncio.run(scenario())


def test_nodes_from_before_keep_their_names_until_they_are_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = SessionRig(tmp_path)
        async with one_manager(rig, "n1", "n2") as one:
            old = NodeStatus(node_id="n1", state=NodeStatus.DOWN)
            old.description.CopyFrom(Host("h1", "192.0.2.5").description)
            await one.store.commit([put(NODE_STATUS, "n1", old)])
            async with rig.manager("m2") as manager:
                async with rig.agent("n2", [manager.address], host=Host("h1", "192.0.2.6")):
                    await until(
                        lambda: "is in use by node h1" in status(manager, "n2").session_error.replace("n1", "h1")
                    )
                async with ready(rig, manager, "n1", Host("h1", "192.0.2.5")):
                    assert manager.store.tables.names["node/h1"].meta.id == "n1"

    asyncio.run(scenario())


def test_a_user_cannot_give_a_node_what_another_has_or_what_is_no_address(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = SessionRig(tmp_path)
        async with (
            one_manager(rig, "n1", "n2") as manager,
            ready(rig, manager, "n1", Host("h1")),
            ready(rig, manager, "n2", Host("h2")),
        ):
            with pytest.raises(AlreadyExists, match="the hostname h1 is in use by node"):
                await update(manager, "h2", hostname="H1")
            with pytest.raises(AlreadyExists, match="the address"):
                await update(manager, "h2", address=address_of("h1"))
            for wrong in ("here", "224.0.0.1", "2001:DB8::1"):
                with pytest.raises(InvalidInput, match="must be an IP address"):
                    await update(manager, "h2", address=wrong)
            with pytest.raises(InvalidInput, match="letters, digits"):
                await update(manager, "h2", hostname="a b")

    asyncio.run(scenario())


def test_an_update_without_an_identity_leaves_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = SessionRig(tmp_path)
        async with one_manager(rig, "n1") as manager, ready(rig, manager, "n1", Host("h1")):
            node = manager.store.tables.nodes["n1"]
            bare = Node()
            bare.CopyFrom(node)
            bare.spec.ClearField("identity")
            bare.spec.labels["disk"] = "ssd"
            view = await nodes_of(manager).update(
                UpdateNodeRequest(node="n1", version=node.meta.version, spec=bare.spec), ADMIN
            )
            assert (view.node.spec.identity.hostname, view.node.spec.labels["disk"]) == ("h1", "ssd")

    asyncio.run(scenario())
