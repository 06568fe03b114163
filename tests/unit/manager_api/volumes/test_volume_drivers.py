"""Volumes of drivers through the control API: what is refused, what mounts come to say, how they go."""

from typing import Any

import pytest

from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    CreateVolumeRequest,
    GetVolumeRequest,
    ListVolumesRequest,
    RemoveVolumeRequest,
    UpdateServiceRequest,
)
from shoal.api.v1.node_pb2 import CsiDriver, NodeDescription, NodeStatus
from shoal.api.v1.volume_pb2 import (
    MULTI_NODE_READER_ONLY,
    NodePublication,
    NodeVolumes,
    VolumePublication,
    VolumeSpec,
    VolumeStatus,
)
from shoal.errors import InvalidInput
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api
from tests.unit.manager_api.stack_requests import stack_request
from tests.unit.manager_api.volumes.test_volume_handler import clear_away, mount_of, mounting, volumes_of


async def give_driver(api: Api) -> None:
    described = NodeDescription(hostname="h1", csi_drivers=[CsiDriver(name="d", node_id="d-h1")])
    await api.store.commit([put(kinds.NODE_STATUS, "n1", NodeStatus(node_id="n1", description=described))])


def driven(name: str = "data", **more: object) -> CreateVolumeRequest:
    return CreateVolumeRequest(spec=VolumeSpec(name=name, driver="d", **more))  # type: ignore[arg-type]


def test_what_cannot_be_is_refused_all_at_once() -> None:
    async def scenario(api: Api) -> None:
        with pytest.raises(
            InvalidInput, match='driver "d" not found on any node; available: local; to add one, run its CSI plugin'
        ):
            await volumes_of(api).create(driven(), ADMIN)
        await give_driver(api)
        with pytest.raises(InvalidInput) as reported:
            await volumes_of(api).create(
                driven("Bad one", options={"": "x"}, size_bytes=5, limit_bytes=4, access_mode=4), ADMIN
            )
        assert {fault.path for fault in reported.value.faults} == {"name", "options.", "limit_bytes", "access_mode"}
        local = VolumeSpec(name="data", size_bytes=5, access_mode=MULTI_NODE_READER_ONLY)
        with pytest.raises(InvalidInput) as reported:
            await volumes_of(api).create(CreateVolumeRequest(spec=local), ADMIN)
        assert {fault.path for fault in reported.value.faults} == {"size_bytes", "access_mode"}

    with_api(scenario)


def test_mounts_come_to_name_the_driver_and_stay_the_same() -> None:
    async def scenario(api: Api) -> None:
        await give_driver(api)
        spec = mounting("web", driver="d", options={"tier": "gold"})
        answer = await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
        assert "one node at a time" in "".join(answer.warnings) and "own" not in "".join(answer.warnings)
        mount = await mount_of(api, "web")
        assert (mount.volume.driver, mount.volume.single_node, dict(mount.volume.options)) == ("d", True, {})
        (volume,) = api.store.tables.volumes.values()
        assert (volume.spec.driver, dict(volume.spec.options)) == ("d", {"tier": "gold"})
        version = answer.service.meta.version
        again = await api.services.update(UpdateServiceRequest(service="web", version=version, spec=spec), ADMIN)
        assert again.service.task_revision == answer.service.task_revision, "nothing restarts"

    with_api(scenario)


@pytest.mark.parametrize(
    ("use", "reported"),
    [
        ({"driver": "local"}, "already exists with driver d, not local"),
        ({"per_slot": True}, "per-slot volumes are supported by the local driver only"),
        ({}, "is read-only; mount it with readonly"),
    ],
)
def test_mounts_that_cannot_be(use: dict[str, Any], reported: str) -> None:
    async def scenario(api: Api) -> None:
        await give_driver(api)
        await volumes_of(api).create(driven(access_mode=MULTI_NODE_READER_ONLY), ADMIN)
        spec = mounting("web", **use)
        spec.task.container.mounts[0].read_only = "per_slot" in use
        with pytest.raises(InvalidInput, match=reported):
            await api.services.create(CreateServiceRequest(spec=spec), ADMIN)

    with_api(scenario)


def test_a_driver_that_no_node_has_is_told_by_its_place() -> None:
    async def scenario(api: Api) -> None:
        spec = spec_of("web")
        spec.task.container.mounts.append(Mount(type=Mount.VOLUME, source="data", target="/d"))
        spec.task.container.mounts[0].volume.driver = "far"
        with pytest.raises(InvalidInput) as reported:
            await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
        assert [fault.path for fault in reported.value.faults] == ["task.container.mounts[0].volume.driver"]
        stack = stack_request("shop", volumes=[VolumeSpec(name="data", driver="far")])
        with pytest.raises(InvalidInput) as reported:
            await api.stacks.deploy(stack, ADMIN)
        assert [fault.path for fault in reported.value.faults] == ["volumes.shop_data.driver"]

    with_api(scenario)


def test_it_goes_when_the_keeper_says_so() -> None:
    async def scenario(api: Api) -> None:
        await give_driver(api)
        volumes = volumes_of(api)
        identifier = (await volumes.create(driven(), ADMIN)).volume.meta.id
        await volumes.remove(RemoveVolumeRequest(volume="data"), ADMIN)
        await clear_away(api)
        assert api.store.tables.volumes[identifier].removing, "its driver has not deleted it yet"
        with pytest.raises(InvalidInput, match="being removed"):
            await api.services.create(CreateServiceRequest(spec=mounting("web")), ADMIN)
        await volumes.remove(RemoveVolumeRequest(volume="data", force=True), ADMIN)
        assert api.store.tables.volumes[identifier].forced
        status = VolumeStatus(volume_id=identifier, deleted=True)
        await api.store.commit([put(kinds.VOLUME_STATUS, identifier, status)])
        await clear_away(api)
        assert not api.store.tables.volumes and not api.store.tables.volume_status
        await volumes.create(CreateVolumeRequest(spec=VolumeSpec(name="data")), ADMIN)
        answer = await volumes.remove(RemoveVolumeRequest(volume="data", force=True), ADMIN)
        assert list(answer.warnings) == ['--force has no effect on volume "data", which is local']
        assert not api.store.tables.volumes

    with_api(scenario)


def test_where_it_is_and_what_does_not_go_on_is_shown() -> None:
    async def scenario(api: Api) -> None:
        await give_driver(api)
        identifier = (await volumes_of(api).create(driven(), ADMIN)).volume.meta.id
        published = VolumePublication(node_id="n1", number=1, state=VolumePublication.READY)
        status = VolumeStatus(volume_id=identifier, driver_volume_id="real", publications=[published])
        held = NodePublication(volume_id=identifier, number=1, problem="driver d: NodeStageVolume: no")
        await api.store.commit(
            [
                put(kinds.VOLUME_STATUS, identifier, status),
                put(kinds.NODE_VOLUMES, "n1", NodeVolumes(node_id="n1", publications=[held])),
            ]
        )
        (view,) = (await volumes_of(api).list(ListVolumesRequest(), ADMIN)).volumes
        assert view == await volumes_of(api).get(GetVolumeRequest(volume="data"), ADMIN)
        (place,) = view.locations
        assert (place.hostname, place.publication_state, place.mounted) == ("h1", VolumePublication.READY, False)
        assert place.problem == "driver d: NodeStageVolume: no" and view.status.driver_volume_id == "real"

    with_api(scenario)
