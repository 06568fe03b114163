"""`per-slot` set on a volume that holds data, or taken away: what is there is kept, or the change refused."""

import pytest

from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.control_pb2 import CreateServiceRequest, UpdateServiceRequest
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.task_pb2 import TaskState
from shoal.api.v1.volume_pb2 import VolumeHome
from shoal.errors import InvalidInput
from shoal.volume_slots import volume_slot
from tests.unit.manager_api.control_rig import ADMIN, Api, with_api
from tests.unit.manager_api.volumes.test_volume_handler import hold, mount_of, mounting


def test_data_of_one_task_becomes_that_of_its_slot() -> None:
    async def scenario(api: Api) -> None:
        created = await api.services.create(CreateServiceRequest(spec=mounting("db")), ADMIN)
        identifier = (await mount_of(api, "db")).source
        home = VolumeHome(volume_id=identifier, node_id="n1")
        await api.store.commit([put(kinds.VOLUME_HOME, f"{identifier}/0", home)])
        await api.put_task("t2", created.service.meta.id, state=TaskState.RUNNING)
        spec = ServiceSpec()
        spec.CopyFrom(created.service.spec)
        spec.task.container.mounts[0].volume.per_slot = True
        spec.task.container.mounts[0].volume.inheriting_slot = 7
        version = created.service.meta.version
        updated = await api.services.update(UpdateServiceRequest(service="db", version=version, spec=spec), ADMIN)
        use = updated.service.spec.task.container.mounts[0].volume
        assert (use.per_slot, use.inheriting_slot) == (True, 1)
        assert [volume_slot(use, slot) for slot in (1, 2)] == [0, 2]
        await hold(api, "n2", identifier, slot=2)
        spec.task.container.mounts[0].volume.inheriting_slot = 0
        spec.replicated.replicas = 3
        again = await api.services.update(
            UpdateServiceRequest(service="db", version=updated.service.meta.version, spec=spec), ADMIN
        )
        assert again.service.spec.task.container.mounts[0].volume.inheriting_slot == 1, (
            "for as long as it is mounted so"
        )
        spec.task.container.mounts[0].volume.per_slot = False
        back = await api.services.update(
            UpdateServiceRequest(service="db", version=again.service.meta.version, spec=spec), ADMIN
        )
        assert volume_slot(back.service.spec.task.container.mounts[0].volume, 1) == 0

    with_api(scenario)


def test_per_slot_hides_no_data() -> None:
    async def scenario(api: Api) -> None:
        created = await api.services.create(CreateServiceRequest(spec=mounting("db")), ADMIN)
        identifier = (await mount_of(api, "db")).source
        for node in ("n1", "n2"):
            await hold(api, node, identifier, slot=0)
        spec = ServiceSpec()
        spec.CopyFrom(created.service.spec)
        spec.task.container.mounts[0].volume.per_slot = True
        version = created.service.meta.version
        with pytest.raises(InvalidInput, match="volume data has data on several nodes"):
            await api.services.update(UpdateServiceRequest(service="db", version=version, spec=spec), ADMIN)
        with pytest.raises(InvalidInput, match=r"data on several nodes.*shoal service scale"):
            await api.services.create(CreateServiceRequest(spec=mounting("other", per_slot=True)), ADMIN)
        spec.task.container.mounts[0].source = "slots"
        await api.services.update(UpdateServiceRequest(service="db", version=version, spec=spec), ADMIN)
        await hold(api, "n1", (await mount_of(api, "db")).source)
        with pytest.raises(InvalidInput, match="has per-slot data") as refused:
            await api.services.create(CreateServiceRequest(spec=mounting("plain", "slots")), ADMIN)
        assert "--mount 'source=slots-{{.Task.Slot}},target=/from,readonly'" in str(refused.value)

    with_api(scenario)
