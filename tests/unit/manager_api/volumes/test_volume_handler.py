"""Volumes through the control API: made with services, removed when no node holds them, pruned when unused."""

import pytest

from manager.agents.agent_address import AgentAddress
from manager.store import kinds
from manager.store.changes import put
from manager.volumes.volume_handler import VolumeHandler, removable_volumes
from shoal.api.v1.container_pb2 import Mount, VolumeOptions
from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    CreateVolumeRequest,
    DeployStackRequest,
    GetServiceRequest,
    GetVolumeRequest,
    ListVolumesRequest,
    PruneVolumesRequest,
    RemoveServiceRequest,
    RemoveStackRequest,
    RemoveVolumeRequest,
)
from shoal.api.v1.node_pb2 import NodeDescription, NodeStatus
from shoal.api.v1.service_pb2 import ServiceSpec, UpdateConfig
from shoal.api.v1.streams_pb2 import ReadVolumeSizesRequest, ReadVolumeSizesResponse, VolumeSize
from shoal.api.v1.volume_pb2 import (
    MULTI_NODE_MULTI_WRITER,
    LocalVolume,
    NodeVolumes,
    VolumeHome,
    VolumeMoveStatus,
    VolumeSpec,
    VolumeStatus,
)
from shoal.errors import AlreadyExists, Fault, InvalidInput, NotFound, Refused, Unavailable
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api
from tests.unit.manager_api.stack_requests import stack_request


def volumes_of(api: Api, sizes: "Disks | None" = None) -> VolumeHandler:
    return VolumeHandler(store=api.store, sizes=sizes or Disks(), now_ms=lambda: 1000, new_id=api.new_id)


class Disks:
    """Nodes that count what is there; one of them does not answer."""

    async def read_volume_sizes(self, agent: AgentAddress, request: ReadVolumeSizesRequest) -> ReadVolumeSizesResponse:
        if agent.node_id == "silent":
            raise Unavailable("no answer")
        sizes = [VolumeSize(volume_id=each, slot=1, bytes=5 << 20) for each in request.volume_ids]
        return ReadVolumeSizesResponse(volumes=sizes)


def mounting(name: str, source: str = "data", **use: object) -> ServiceSpec:
    spec = spec_of(name)
    volume = VolumeOptions(**use)  # type: ignore[arg-type]
    spec.task.container.mounts.append(Mount(type=Mount.VOLUME, source=source, target="/data", volume=volume))
    return spec


async def mount_of(api: Api, name: str) -> Mount:
    return (await api.services.get(GetServiceRequest(service=name), ADMIN)).service.spec.task.container.mounts[0]


async def hold(api: Api, node: str, *volume_ids: str, slot: int = 1) -> None:
    held = [LocalVolume(volume_id=each, name="data", slot=slot) for each in volume_ids]
    await api.store.commit([put(kinds.NODE_VOLUMES, node, NodeVolumes(node_id=node, volumes=held))])


async def clear_away(api: Api) -> None:
    for step in list(removable_volumes(api.store)):
        await api.store.commit(step.writes, expects=step.expects)


def test_a_volume_that_a_service_makes_has_the_labels_of_its_mount() -> None:
    async def scenario(api: Api) -> None:
        await api.services.create(CreateServiceRequest(spec=mounting("web", labels={"tier": "gold"})), ADMIN)
        (volume,) = api.store.tables.volumes.values()
        assert dict(volume.spec.labels) == {"tier": "gold"}
        with pytest.raises(InvalidInput, match="must have 1 to 256 characters"):
            await api.services.create(CreateServiceRequest(spec=mounting("bad", "other", labels={"a b": "c"})), ADMIN)

    with_api(scenario)


def test_a_service_makes_the_volume_that_it_names() -> None:
    async def scenario(api: Api) -> None:
        answer = await api.services.create(CreateServiceRequest(spec=mounting("web")), ADMIN)
        assert "each node has its own data" in "".join(answer.warnings)
        await api.services.create(CreateServiceRequest(spec=mounting("slots", "data-{{ .Task.Slot }}")), ADMIN)
        (volume,) = api.store.tables.volumes.values()
        web, slots = await mount_of(api, "web"), await mount_of(api, "slots")
        assert (web.source, web.volume.name, web.volume.per_slot) == (volume.meta.id, "data", False)
        assert (slots.source, slots.volume.per_slot) == (volume.meta.id, True)
        view = await volumes_of(api).get(GetVolumeRequest(volume="data"), ADMIN)
        assert list(view.services) == ["slots", "web"]

    with_api(scenario)


def test_a_short_name_is_no_other_volume_whose_id_begins_so() -> None:
    """Its data would be mounted, or deleted, for the other's."""

    async def scenario(api: Api) -> None:
        await api.services.create(CreateServiceRequest(spec=mounting("web")), ADMIN)
        (volume,) = api.store.tables.volumes.values()
        short = volume.meta.id[:2]
        with pytest.raises(NotFound, match=f'volume "{short}" not found; an ID prefix has at least 6 characters'):
            await volumes_of(api).remove(RemoveVolumeRequest(volume=short), ADMIN)
        await api.services.create(CreateServiceRequest(spec=mounting("db", short)), ADMIN)
        assert {each.spec.name for each in api.store.tables.volumes.values()} == {"data", short}
        assert (await mount_of(api, "db")).source != volume.meta.id

    with_api(scenario)


def test_start_first_is_not_in_force_on_data_of_one_writer_and_that_is_said() -> None:
    async def scenario(api: Api) -> None:
        spec = mounting("db", per_slot=True)
        spec.update.order = UpdateConfig.START_FIRST
        answer = await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
        reported = "volume data can be used by one task at a time, so each task stops before its replacement starts"
        assert reported in "".join(answer.warnings)
        spec.name, spec.task.container.mounts[0].shared = "web", True
        answer = await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
        assert reported not in "".join(answer.warnings)

    with_api(scenario)


def test_options_are_the_volumes_own() -> None:
    async def scenario(api: Api) -> None:
        options = {"type": "none", "o": "bind", "device": "/srv"}
        await volumes_of(api).create(CreateVolumeRequest(spec=VolumeSpec(name="data", options=options)), ADMIN)
        other = {"type": "none", "o": "bind", "device": "/etc"}
        await api.services.create(CreateServiceRequest(spec=mounting("web", options=other)), ADMIN)
        assert dict((await mount_of(api, "web")).volume.options) == options
        with pytest.raises(AlreadyExists):
            await volumes_of(api).create(CreateVolumeRequest(spec=VolumeSpec(name="data")), ADMIN)

    with_api(scenario)


def test_removal_waits_for_the_nodes() -> None:
    async def scenario(api: Api) -> None:
        volumes = volumes_of(api)
        created = await api.services.create(CreateServiceRequest(spec=mounting("web", per_slot=True)), ADMIN)
        identifier = (await mount_of(api, "web")).source
        with pytest.raises(Refused, match="in use by web"):
            await volumes.remove(RemoveVolumeRequest(volume="data"), ADMIN)
        await api.services.remove(RemoveServiceRequest(service=created.service.meta.id), ADMIN)
        await hold(api, "node1", identifier)
        await api.store.commit([put(kinds.VOLUME_HOME, f"{identifier}/1", VolumeHome(volume_id=identifier, slot=1))])
        await volumes.remove(RemoveVolumeRequest(volume="data"), ADMIN)
        await clear_away(api)
        assert api.store.tables.volumes[identifier].removing, "a node still holds its data"
        with pytest.raises(InvalidInput, match="is being removed"):
            await api.services.create(CreateServiceRequest(spec=mounting("web")), ADMIN)
        await hold(api, "node1")
        await clear_away(api)
        assert not api.store.tables.volumes and not api.store.tables.volume_homes
        with pytest.raises(NotFound):
            await volumes.get(GetVolumeRequest(volume="data"), ADMIN)

    with_api(scenario)


def test_prune_keeps_what_services_or_live_tasks_use() -> None:
    async def scenario(api: Api) -> None:
        volumes = volumes_of(api)
        for name in ("unused", "kept"):
            await volumes.create(
                CreateVolumeRequest(spec=VolumeSpec(name=name, labels={"keep": str(name == "kept")})), ADMIN
            )
        await api.services.create(CreateServiceRequest(spec=mounting("web")), ADMIN)
        gone = await api.services.create(CreateServiceRequest(spec=mounting("gone", "stopping")), ADMIN)
        await api.put_task("t1", gone.service.meta.id)
        await api.services.remove(RemoveServiceRequest(service="gone"), ADMIN)
        pruned = await volumes.prune(PruneVolumesRequest(label="keep=False"), ADMIN)
        assert list(pruned.names) == ["unused"]
        pruned = await volumes.prune(PruneVolumesRequest(), ADMIN)
        assert list(pruned.names) == ["kept"], "a task that has not ended has the other one"

    with_api(scenario)


def test_a_volume_without_a_name_is_no_record() -> None:
    async def scenario(api: Api) -> None:
        made = (await api.services.create(CreateServiceRequest(spec=mounting("web", "")), ADMIN)).service
        (mount,) = made.spec.task.container.mounts
        assert (mount.source, mount.volume.name) == ("", "")
        assert not api.store.tables.volumes

    with_api(scenario)


@pytest.mark.parametrize(
    ("spec", "reported"),
    [
        (mounting("web", "", per_slot=True), "created for each container"),
        (mounting("web", "d-{{.Service.Name}}"), "no placeholder other than"),
        (mounting("web", subpath="../x"), '".."'),
        (mounting("web", subpath="/x"), "relative"),
        (mounting("web", failover_after_ms=-5), "volume.failover_after_ms"),
        (mounting("web", options={"type": "nfs"}), "type and device are both required"),
        (mounting("web", options={"colour": "red", "type": "a", "device": "b"}), "not supported by the local driver"),
        (mounting("web", "No Name"), "must contain only letters"),
    ],
)
def test_bad_mounts(spec: ServiceSpec, reported: str) -> None:
    async def scenario(api: Api) -> None:
        with pytest.raises(InvalidInput) as error:
            await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
        assert reported in str(error.value)
        assert not api.store.tables.volumes

    with_api(scenario)


def test_homes_and_sizes_are_shown_and_who_does_not_answer_is_told() -> None:
    async def scenario(api: Api) -> None:
        await api.services.create(CreateServiceRequest(spec=mounting("db", per_slot=True)), ADMIN)
        identifier = (await mount_of(api, "db")).source
        for node in ("n1", "silent", "away"):
            await hold(api, node, identifier)
            state = NodeStatus.DOWN if node == "away" else NodeStatus.READY
            status = NodeStatus(
                node_id=node, state=state, description=NodeDescription(hostname=node, address="10.0.0.1")
            )
            await api.store.commit([put(kinds.NODE_STATUS, node, status)])
        home = VolumeHome(volume_id=identifier, slot=1, node_id="n1")
        was_moved = VolumeStatus(volume_id=identifier, moves=[VolumeMoveStatus(state=VolumeMoveStatus.DONE)])
        await api.store.commit([put(kinds.VOLUME_HOME, f"{identifier}/1", home)])
        await api.store.commit([put(kinds.VOLUME_STATUS, identifier, was_moved)])
        answer = await volumes_of(api).list(ListVolumesRequest(include_sizes=True), ADMIN)
        places = {each.node_id: each for each in answer.volumes[0].locations}
        assert [node for node, each in places.items() if each.home] == ["n1"]
        assert places["n1"].used_bytes == 5 << 20 and not places["silent"].HasField("used_bytes")
        assert list(answer.warnings) == ["node away is not ready", "node silent: no answer"]
        assert (
            not (await volumes_of(api).list(ListVolumesRequest(), ADMIN)).volumes[0].locations[0].HasField("used_bytes")
        )

    with_api(scenario)


def test_per_slot_needs_slots() -> None:
    async def scenario(api: Api) -> None:
        spec = mounting("web", per_slot=True)
        getattr(spec, "global").SetInParent()
        with pytest.raises(InvalidInput, match="is supported for replicated services only"):
            await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
        with pytest.raises(InvalidInput, match='driver "ebs" not found on any node; available: local'):
            await volumes_of(api).create(CreateVolumeRequest(spec=VolumeSpec(name="data", driver="ebs")), ADMIN)

    with_api(scenario)


def test_a_volume_that_has_to_be_there_is_not_made() -> None:
    async def scenario(api: Api) -> None:
        with pytest.raises(InvalidInput, match='volume "backups" not found'):
            await api.stacks.deploy(stack_request("shop", services=[mounting("db", "backups", external=True)]), ADMIN)
        assert not api.store.tables.volumes
        await volumes_of(api).create(CreateVolumeRequest(spec=VolumeSpec(name="backups")), ADMIN)
        await api.stacks.deploy(stack_request("shop", services=[mounting("db", "backups", external=True)]), ADMIN)
        assert not (await mount_of(api, "shop_db")).volume.external  # else it would tell two equal specs apart

    with_api(scenario)


def test_of_a_volume_of_a_stack_the_labels_change_alone() -> None:
    async def scenario(api: Api) -> None:
        def request(**fields: object) -> DeployStackRequest:
            return stack_request(
                "shop",
                volumes=[VolumeSpec(name="data", **fields)],  # type: ignore[arg-type]
            )

        await api.stacks.deploy(request(labels={"tier": "one"}), ADMIN)
        (change,) = (await api.stacks.deploy(request(labels={"tier": "two"}), ADMIN)).changes
        assert (change.kind, change.action) == ("volume", "update")
        (volume,) = api.store.tables.volumes.values()
        assert dict(volume.spec.labels) == {"tier": "two"}
        (change,) = (await api.stacks.deploy(request(labels={"tier": "two"}), ADMIN)).changes
        assert change.action == "unchanged"

    with_api(scenario)


@pytest.mark.parametrize(
    ("field", "value"), [("size_bytes", 1), ("limit_bytes", 1), ("access_mode", MULTI_NODE_MULTI_WRITER)]
)
def test_what_cannot_change_of_a_volume_is_told(field: str, value: int) -> None:
    async def scenario(api: Api) -> None:
        await api.stacks.deploy(stack_request("shop", volumes=[VolumeSpec(name="data")]), ADMIN)
        changed = VolumeSpec(name="data")
        setattr(changed, field, value)
        with pytest.raises(InvalidInput) as caught:
            await api.stacks.deploy(stack_request("shop", volumes=[changed]), ADMIN)
        text = "cannot be changed while the volume exists; remove the volume first"
        assert Fault(f"volumes.shop_data.{field}", text) in caught.value.faults

    with_api(scenario)


def test_volumes_of_a_stack_stay() -> None:
    async def scenario(api: Api) -> None:
        def request(**options: str) -> DeployStackRequest:
            volume = VolumeSpec(name="shop_data", stack="shop", options=options)
            return stack_request("shop", services=[mounting("db", "shop_data")], volumes=[volume])

        first = await api.stacks.deploy(request(), ADMIN)
        assert ("volume", "create") in [(each.kind, each.action) for each in first.changes]
        again = await api.stacks.deploy(request(), ADMIN)
        assert {each.action for each in again.changes} == {"unchanged"}
        with pytest.raises(InvalidInput, match="cannot be changed while the volume exists"):
            await api.stacks.deploy(request(type="tmpfs", device="tmpfs"), ADMIN)
        await api.stacks.remove(RemoveStackRequest(stack="shop"), ADMIN)
        assert [each.spec.name for each in api.store.tables.volumes.values()] == ["shop_data"]

    with_api(scenario)


def test_what_a_node_that_is_down_keeps_from_going_is_told() -> None:
    async def scenario(api: Api) -> None:
        volumes = volumes_of(api)
        made = [
            await volumes.create(CreateVolumeRequest(spec=VolumeSpec(name=name)), ADMIN) for name in ("data", "other")
        ]
        await hold(api, "n1", *(each.volume.meta.id for each in made))
        status = NodeStatus(node_id="n1", state=NodeStatus.DOWN, description=NodeDescription(hostname="h1"))
        await api.store.commit([put(kinds.NODE_STATUS, "n1", status)])
        view = await volumes.get(GetVolumeRequest(volume="data"), ADMIN)
        assert [(each.down, each.problem) for each in view.locations] == [(True, "")]
        answer = await volumes.remove(RemoveVolumeRequest(volume="data"), ADMIN)
        why = "is removed once node h1, which is down, has deleted its data; to remove it now, run `shoal node rm h1`"
        assert list(answer.warnings) == [f'volume "data" {why}']
        assert (await volumes.get(GetVolumeRequest(volume="data"), ADMIN)).locations[0].problem == why
        pruned = await volumes.prune(PruneVolumesRequest(), ADMIN)
        assert (list(pruned.names), list(pruned.warnings)) == (["other"], [f'volume "other" {why}'])
        status.state = NodeStatus.READY
        await api.store.commit([put(kinds.NODE_STATUS, "n1", status)])
        assert not (await volumes.remove(RemoveVolumeRequest(volume="data"), ADMIN)).warnings

    with_api(scenario)
