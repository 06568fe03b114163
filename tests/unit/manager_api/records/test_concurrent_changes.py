"""A removal names no version: it happens although another manager changed the object a moment before."""

import asyncio

import pytest

from manager.records import concurrent_changes
from manager.records.concurrent_changes import retried
from manager.store import kinds
from manager.store.changes import put
from manager.volumes.volume_handler import VolumeHandler
from shoal.api.v1.control_pb2 import (
    CreateNetworkRequest,
    CreateServiceRequest,
    CreateVolumeRequest,
    PruneVolumesRequest,
    RemoveNetworkRequest,
    RemoveServiceRequest,
    RemoveVolumeRequest,
)
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.volume_pb2 import VolumeSpec
from shoal.errors import Conflict, NotFound
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, two_managers
from tests.unit.manager_api.volumes.test_volume_handler import Disks


def volumes_of(api: Api) -> VolumeHandler:
    return VolumeHandler(store=api.store, sizes=Disks(), now_ms=lambda: 1000, new_id=api.new_id)


@pytest.mark.parametrize("call", ["rm", "prune"])
def test_a_volume_is_removed(call: str) -> None:
    async def scenario() -> None:
        async with two_managers() as (one, other):
            made = await volumes_of(one).create(CreateVolumeRequest(spec=VolumeSpec(name="data")), ADMIN)
            await other.store.reached(one.store.tables.revision)
            identifier = made.volume.meta.id
            await other.store.commit([put(kinds.VOLUME, identifier, other.store.tables.volumes[identifier])])
            if call == "rm":
                await volumes_of(one).remove(RemoveVolumeRequest(volume="data"), ADMIN)
            else:
                await volumes_of(one).prune(PruneVolumesRequest(), ADMIN)
            assert not one.store.tables.volumes

    asyncio.run(scenario())


def test_another_one_that_has_its_name_by_then_stays() -> None:
    async def scenario() -> None:
        async with two_managers() as (one, other):
            await volumes_of(one).create(CreateVolumeRequest(spec=VolumeSpec(name="data")), ADMIN)
            await other.store.reached(one.store.tables.revision)
            await volumes_of(other).remove(RemoveVolumeRequest(volume="data"), ADMIN)
            made = await volumes_of(other).create(CreateVolumeRequest(spec=VolumeSpec(name="data")), ADMIN)
            with pytest.raises(NotFound):
                await volumes_of(one).remove(RemoveVolumeRequest(volume="data"), ADMIN)
            assert list(other.store.tables.volumes) == [made.volume.meta.id]

    asyncio.run(scenario())


def test_a_network_is_removed() -> None:
    async def scenario() -> None:
        async with two_managers() as (one, other):
            made = await one.networks.create(CreateNetworkRequest(spec=NetworkSpec(name="front")), ADMIN)
            await other.store.reached(one.store.tables.revision)
            identifier = made.network.meta.id
            await other.store.commit([put(kinds.NETWORK, identifier, other.store.tables.networks[identifier])])
            await one.networks.remove(RemoveNetworkRequest(network="front"), ADMIN)
            assert identifier not in one.store.tables.networks

    asyncio.run(scenario())


def test_a_service_is_removed() -> None:
    async def scenario() -> None:
        async with two_managers() as (one, other):
            made = await one.services.create(CreateServiceRequest(spec=spec_of()), ADMIN)
            await other.store.reached(one.store.tables.revision)
            identifier = made.service.meta.id
            await other.store.commit([put(kinds.SERVICE, identifier, other.store.tables.services[identifier])])
            await one.services.remove(RemoveServiceRequest(service="web"), ADMIN)
            assert not one.store.tables.services

    asyncio.run(scenario())


def test_what_changes_all_the_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrent_changes, "PAUSE_SECONDS", 0.0)
    attempts = 0

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        raise Conflict("changed")

    with pytest.raises(Conflict):
        asyncio.run(retried(attempt))
    assert attempts == concurrent_changes.ATTEMPTS
