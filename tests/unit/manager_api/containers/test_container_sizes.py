"""Sizes of containers where they are asked for; what is not known is named."""

from shoal.api.v1.engine_pb2 import GetContainerRequest, ListContainersRequest
from tests.unit.manager_api.containers.container_rig import ContainerRig, with_rig
from tests.unit.manager_api.control_rig import ADMIN


def test_sizes_are_asked_for() -> None:
    async def scenario(rig: ContainerRig) -> None:
        await rig.run("db")
        plain = await rig.records.list(ListContainersRequest(), ADMIN)
        assert not plain.containers[0].HasField("writable_bytes")
        answer = await rig.records.list(ListContainersRequest(include_sizes=True), ADMIN)
        assert [(each.writable_bytes, each.image_bytes) for each in answer.containers] == [(7, 100)]
        view = await rig.records.get(GetContainerRequest(container="db", include_sizes=True), ADMIN)
        assert (view.writable_bytes, view.image_bytes) == (7, 100)

    with_rig(scenario)


def test_what_is_not_known_is_named() -> None:
    async def scenario(rig: ContainerRig) -> None:
        for name, node in (("bad", "h2"), ("away", "h1"), ("good", "h2")):
            await rig.create(name, node)
        rig.unreadable.add("bad")
        await rig.lose("h1")
        answer = await rig.records.list(ListContainersRequest(include_sizes=True, all=True), ADMIN)
        known = [each.container.name for each in answer.containers if each.HasField("writable_bytes")]
        assert known == ["good"]
        assert list(answer.warnings) == ['container "bad" on node h2: the disk failed', "node h1 is not ready"]

    with_rig(scenario)
