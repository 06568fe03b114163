"""Containers that share networks, processes and IPC with others, and their links."""

import pytest

from shoal.api.v1.engine_pb2 import ConnectContainerRequest, CreateContainerRequest, UpdateContainerRequest
from shoal.api.v1.service_pb2 import NetworkAttachment, PublishedPort
from shoal.api.v1.standalone_pb2 import ContainerDefinition
from shoal.errors import InvalidInput, NotFound, Refused
from tests.unit.manager_api.containers.container_rig import ContainerRig, definition, with_rig
from tests.unit.manager_api.control_rig import ADMIN


def joining(reference: str, kind: str = "network") -> ContainerDefinition:
    made = definition()
    if kind == "network":
        made.task.networks.append(NetworkAttachment(network=f"container:{reference}"))
    elif kind == "pid":
        made.task.container.pid_container = reference
    else:
        made.task.container.ipc_container = reference
    return made


async def create(rig: ContainerRig, made: ContainerDefinition, name: str = "tool") -> None:
    await rig.records.create(CreateContainerRequest(name=name, definition=made), ADMIN)


@pytest.mark.parametrize(("kind", "what"), [("network", "network"), ("pid", "PID namespace"), ("ipc", "IPC namespace")])
def test_it_is_on_the_others_node_and_starts_while_that_runs_only(kind: str, what: str) -> None:
    async def scenario(rig: ContainerRig) -> None:
        db = await rig.create("db", "h2")
        await create(rig, joining("db", kind))
        text = f'container "tool" cannot start: cannot join {what} of a non running container: db'
        with pytest.raises(Refused, match=text):
            await rig.start("tool")
        provider = await rig.start("db")
        running = await rig.start("tool")
        assert running.node_hostname == "h2"
        assert getattr(running.task, f"{kind}_task_id") == provider.task.id
        await rig.stop("db")
        again = await rig.start("db")
        assert (await rig.start("tool")).task.id == running.task.id, "as with Docker, it keeps the old one"
        await rig.stop("tool")
        assert getattr((await rig.start("tool")).task, f"{kind}_task_id") == again.task.id != provider.task.id
        assert db.container.meta.id in str(running.container.definition), "the id, so that a rename does not matter"

    with_rig(scenario)


def test_what_cannot_be_shared() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.run("db")
        with pytest.raises(InvalidInput, match='container "gone" not found'):
            await create(rig, joining("gone"))
        made = joining("db")
        made.ports.append(PublishedPort(target=80))
        made.task.container.hostname = "me"
        made.links.append("db:store")
        with pytest.raises(InvalidInput) as raised:
            await create(rig, made)
        assert {fault.path for fault in raised.value.faults} == {"ports", "task.container.hostname", "links"}
        two = joining("db")
        two.task.networks.append(NetworkAttachment(network="bridge"))
        with pytest.raises(InvalidInput, match="cannot be combined with other networks"):
            await create(rig, two)
        hosts = joining("db", "pid")
        hosts.task.container.host_namespaces.pid = True
        with pytest.raises(InvalidInput, match="cannot be combined with the node"):
            await create(rig, hosts)
        await create(rig, joining("db"))
        with pytest.raises(Refused, match="uses network mode container:"):
            attachment = NetworkAttachment(network="front")
            await rig.networks.connect(ConnectContainerRequest(container="tool", attachment=attachment), ADMIN)

    with_rig(scenario)


@pytest.mark.parametrize(
    ("mac", "fault"),
    [
        ("02:42:AC:11:00:02", "must be a MAC address"),
        ("02:42:ac:11:00", "must be a MAC address"),
        ("03:42:ac:11:00:02", "single interface"),
        ("00:00:00:00:00:00", "single interface"),
    ],
)
def test_mac_addresses_that_a_link_cannot_have(mac: str, fault: str) -> None:
    async def scenario(rig: ContainerRig) -> None:
        made = definition()
        made.task.container.mac_address = mac
        with pytest.raises(InvalidInput, match=fault):
            await create(rig, made)
        made.task.container.mac_address = "02:42:ac:11:00:02"
        await create(rig, made)

    with_rig(scenario)


def test_links_are_ids_with_names_and_of_the_same_node_without_networks() -> None:
    async def scenario(rig: ContainerRig) -> None:
        db = await rig.create("db", "h2")
        made = definition()
        made.links.extend(["db:Store", "db"])
        await create(rig, made, "web")
        web = await rig.start("web")
        assert web.node_hostname == "h2"
        links = web.container.definition.task.container.links
        assert [(each.container_id, [*each.names]) for each in links] == [
            (db.container.meta.id, ["store", "db"]),
            (db.container.meta.id, ["db"]),
        ]
        assert [*web.container.definition.links] == ["db:Store", "db"]
        for bad in ("gone:x", "db:", "db:-"):
            made = definition(links=[bad])
            with pytest.raises(InvalidInput):
                await create(rig, made, "other")

    with_rig(scenario)


def test_links_on_networks_are_to_names_and_links_are_taken_away_by_their_aliases() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.add_network("front")
        db = definition()
        db.task.container.env.extend(["FOO=1", "PATH=/bin"])
        db.ports.add(target=5432)
        await create(rig, db, "db")
        made = definition(links=["db:store"])
        await create(rig, made, "web")
        (link,) = rig.container("web").definition.task.container.links
        assert ([*link.env], [*link.ports]) == (["FOO=1"], ["5432/tcp"])
        joined = NetworkAttachment(network="front", links=["Nobody:Other"])
        await rig.networks.connect(ConnectContainerRequest(container="web", attachment=joined), ADMIN)
        spec = rig.container("web").definition.task.container
        assert [(each.target, [*each.names]) for each in spec.links] == [("", ["store", "db"]), ("nobody", ["other"])]
        for alias, left in (("store", ["nobody"]), ("OTHER", [])):
            await rig.records.update(UpdateContainerRequest(container="web", remove_links=[alias]), ADMIN)
            assert [each.target for each in rig.container("web").definition.task.container.links] == left
        with pytest.raises(NotFound, match="no link"):
            await rig.records.update(UpdateContainerRequest(container="web", remove_links=["store"]), ADMIN)

    with_rig(scenario)


def test_a_mac_address_comes_with_a_network_while_it_does_not_run() -> None:
    async def scenario(rig: ContainerRig) -> None:
        networks = ("front", "back")
        for each in networks:
            await rig.add_network(each)
        await rig.create("web", "h1")
        first, second = (
            ConnectContainerRequest(container="web", attachment=NetworkAttachment(network=each), mac_address=mac)
            for each, mac in zip(networks, ("02:42:ac:11:00:02", "02:42:ac:11:00:03"), strict=True)
        )
        await rig.networks.connect(first, ADMIN)
        assert rig.container("web").definition.task.container.mac_address == "02:42:ac:11:00:02"
        with pytest.raises(Refused, match="one MAC address on all its networks"):
            await rig.networks.connect(second, ADMIN)

    with_rig(scenario)
