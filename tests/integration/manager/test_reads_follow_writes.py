"""An engine that changes managers never meets an older view: over real TLS, with two stores of one etcd."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc import aio

from manager.control_api.servicer import ControlService
from manager.store import kinds
from manager.store.backend import Batch
from manager.store.changes import delete
from manager.store.store import Store
from manager.volumes.volume_handler import VolumeHandler
from shoal import ids
from shoal.api.v1.control_pb2 import (
    CreateVolumeRequest,
    GetVolumeRequest,
    ListVolumesRequest,
    ListVolumesResponse,
    RemoveVolumeRequest,
    ServicesProgress,
    WatchServicesRequest,
)
from shoal.api.v1.control_pb2_grpc import ControlStub, add_ControlServicer_to_server
from shoal.api.v1.streams_pb2 import ReadVolumeSizesResponse
from shoal.api.v1.volume_pb2 import VolumeSpec
from shoal.errors import InvalidInput, NotFound, Unavailable
from shoal.identity.authority import Authority
from shoal.identity.identity import Identity
from shoal.identity.roles import CertificateSubject, Role
from shoal.manager_calls.managers import Managers
from shoal.manager_calls.read_cache import CachedAnswer
from shoal.manager_calls.replaceable_channel import ReplaceableChannel
from shoal.rpc.channel import connect_aio
from shoal.rpc.conditional_reads import ConditionalReads
from shoal.rpc.grpc_server import listen, make_server
from shoal.rpc.manager_access import MANAGER_API
from shoal.rpc.read_revisions import MIN_REVISION_KEY, REVISION_KEY, ReadRevisions
from shoal.rpc.status_mapping import to_shoal_error
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd
from tests.integration.identity.rig import serving

DEADLINE = 10.0
WAIT_SECONDS = 0.3


class LateEtcd:
    """The same etcd, whose watch delivers only while `delivers` is set."""

    def __init__(self, etcd: MemoryEtcd) -> None:
        self._etcd = etcd
        self.delivers = asyncio.Event()
        self.delivers.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._etcd, name)

    async def watch(self, start: bytes, end: bytes, *, revision: int) -> AsyncGenerator[Batch]:
        async for batch in self._etcd.watch(start, end, revision=revision):
            await self.delivers.wait()
            yield batch


class TwoManagers:
    """An engine beside two managers; the cache of the second is late when `etcd.delivers` is cleared."""

    def __init__(self, etcd: LateEtcd, stores: list[Store], channels: list[aio.Channel]) -> None:
        self.etcd, self.stores, self.channels = etcd, stores, channels
        self.channel = ReplaceableChannel(channels[0])
        self.calls = Managers(self.channel)
        self.changes = 0

    def use(self, number: int) -> None:
        """The manager that the engine calls from now on."""
        self.channel.replace(self.channels[number])

    def change(self) -> bool:
        """As an engine does when the manager that it calls lags behind."""
        self.changes += 1
        self.use(0)
        return True

    async def create(self, name: str) -> None:
        await self.calls.call(self.calls.control.CreateVolume, CreateVolumeRequest(spec=VolumeSpec(name=name)))

    async def get(self, name: str) -> str:
        return (await self.calls.call(self.calls.control.GetVolume, GetVolumeRequest(volume=name))).volume.spec.name

    async def volumes(self, view: str = "") -> CachedAnswer[ListVolumesResponse]:
        return await self.calls.read(self.calls.control.ListVolumes, ListVolumesRequest(), view=view)


def names(answer: CachedAnswer[ListVolumesResponse]) -> list[str]:
    return [each.volume.spec.name for each in answer.message.volumes]


class _NoSizes:
    async def read_volume_sizes(self, *_: object) -> ReadVolumeSizesResponse:
        return ReadVolumeSizesResponse()


class _Progress:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def watch(self, _: WatchServicesRequest, caller: object) -> AsyncGenerator[ServicesProgress]:
        yield ServicesProgress(done=True)


@asynccontextmanager
async def two_managers(wait_seconds: float = DEADLINE) -> AsyncGenerator[TwoManagers]:
    etcd = MemoryEtcd()
    late: Any = LateEtcd(etcd)
    authority = Authority.create("c1", datetime.now(UTC))
    client = authority.issue(CertificateSubject("engine", Role.ADMIN, "c1"), datetime.now(UTC))
    shown = authority.issue(CertificateSubject("m1", Role.MANAGER, "c1"), datetime.now(UTC))
    async with (
        loaded_store(etcd) as first,
        loaded_store(late) as second,
        _manager(first, shown, wait_seconds) as one,
        _manager(second, shown, wait_seconds) as two,
        connect_aio([one], client) as to_one,
        connect_aio([two], client) as to_two,
    ):
        yield TwoManagers(late, [first, second], [to_one, to_two])


@asynccontextmanager
async def _manager(
    store: Store, shown: Identity, wait_seconds: float, address: str = "127.0.0.1:0"
) -> AsyncGenerator[str]:
    revisions = ReadRevisions(lambda: store.newest_revision, store.reached, wait_seconds)
    conditional = ConditionalReads(frozenset({"/shoal.api.v1.Control/ListVolumes"}), lambda: store.view_name)
    server = make_server(MANAGER_API, revisions=revisions, conditional=conditional)
    volumes = VolumeHandler(store=store, sizes=_NoSizes(), now_ms=lambda: 1, new_id=ids.new_id)
    handlers: Any = SimpleNamespace(volumes=volumes, progress=_Progress(store))
    add_ControlServicer_to_server(ControlService(handlers), server)
    port = listen(server, address, lambda: shown)
    async with serving(server):
        yield f"127.0.0.1:{port}"


def test_a_read_waits_for_what_another_manager_wrote() -> None:
    async def scenario() -> None:
        async with two_managers() as rig:
            rig.etcd.delivers.clear()
            await rig.create("data")
            rig.use(1)
            stub = ControlStub(rig.channels[1])
            with pytest.raises(grpc.RpcError) as missing:  # one that does not ask
                await stub.GetVolume(GetVolumeRequest(volume="data"), timeout=DEADLINE)
            assert isinstance(to_shoal_error(missing.value), NotFound)
            reading = asyncio.create_task(rig.get("data"))
            await asyncio.sleep(0.1)
            assert not reading.done()
            rig.etcd.delivers.set()
            assert await reading == "data"

    asyncio.run(scenario())


def test_removed_stays_removed_and_streams_wait_too() -> None:
    async def scenario() -> None:
        async with two_managers() as rig:
            await rig.create("data")
            await rig.stores[1].reached(rig.stores[0].newest_revision)
            rig.etcd.delivers.clear()
            await rig.calls.call(rig.calls.control.RemoveVolume, RemoveVolumeRequest(volume="data"))
            rig.use(1)
            stream = rig.calls.stream(rig.calls.control.WatchServices, WatchServicesRequest())
            begun = asyncio.create_task(anext(stream))
            await asyncio.sleep(0.1)
            assert not begun.done()
            rig.etcd.delivers.set()
            assert (await begun).done
            await stream.aclose()
            with pytest.raises(NotFound):
                await rig.get("data")

    asyncio.run(scenario())


def test_what_was_read_of_one_manager_is_not_older_at_the_next() -> None:
    async def scenario() -> None:
        async with two_managers(WAIT_SECONDS) as rig:
            rig.etcd.delivers.clear()
            await ControlStub(rig.channels[0]).CreateVolume(
                CreateVolumeRequest(spec=VolumeSpec(name="data"))
            )  # another client's
            assert await rig.get("data") == "data"
            rig.use(1)
            with pytest.raises(Unavailable, match=r"only, not yet \d+; try again"):
                await rig.get("data")

    asyncio.run(scenario())


def test_calls_go_to_another_manager_when_one_lags_behind() -> None:
    async def scenario() -> None:
        async with two_managers(WAIT_SECONDS) as rig:
            rig.calls = Managers(rig.channel, use_next=rig.change)
            rig.etcd.delivers.clear()
            await rig.create("data")
            rig.use(1)
            names = await asyncio.gather(*(rig.get("data") for _ in range(5)))
            assert (names, rig.changes) == (["data"] * 5, 1), "one change for all that it has failed"
            rig.use(1)
            await rig.create("more")  # the manager that lags has refused it before it began
            assert rig.changes == 2

    asyncio.run(scenario())


def test_reads_wait_for_a_manager_that_is_started_again_and_writes_do_not() -> None:
    async def scenario() -> None:
        now, etcd = datetime.now(UTC), MemoryEtcd()
        authority = Authority.create("c1", now)
        shown = authority.issue(CertificateSubject("m1", Role.MANAGER, "c1"), now)
        client = authority.issue(CertificateSubject("engine", Role.ENGINE, "c1"), now)
        async with loaded_store(etcd) as store:
            async with _manager(store, shown, DEADLINE) as address, connect_aio([address], client) as channel:
                calls = Managers(ReplaceableChannel(channel))
                await calls.call(calls.control.ListVolumes, ListVolumesRequest())
            async with connect_aio([address], client) as channel:
                calls = Managers(ReplaceableChannel(channel))
                reading = asyncio.create_task(calls.call(calls.control.ListVolumes, ListVolumesRequest()))
                with pytest.raises(Unavailable):
                    request = CreateVolumeRequest(spec=VolumeSpec(name="data"))
                    await calls.call(calls.control.CreateVolume, request)
                assert not reading.done()
                async with _manager(store, shown, DEADLINE, address):
                    assert not (await reading).volumes

    asyncio.run(scenario())


def test_refusals_and_ends_of_streams_tell_the_revision() -> None:
    async def scenario() -> None:
        async with two_managers() as rig:
            await rig.create("data")
            written = str(rig.stores[0].newest_revision)
            stub: Any = ControlStub(rig.channels[0])
            with pytest.raises(aio.AioRpcError) as refused:
                await stub.CreateVolume(CreateVolumeRequest(spec=VolumeSpec(name="data")), timeout=DEADLINE)
            assert dict(refused.value.trailing_metadata())[REVISION_KEY] == written
            stream = stub.WatchServices(WatchServicesRequest())
            assert [each.done async for each in stream] == [True]
            assert dict(await stream.trailing_metadata())[REVISION_KEY] == written
            with pytest.raises(grpc.RpcError) as wrong:
                await stub.ListVolumes(ListVolumesRequest(), metadata=((MIN_REVISION_KEY, "newest"),))
            assert isinstance(to_shoal_error(wrong.value), InvalidInput)

    asyncio.run(scenario())


def test_a_deletion_of_nothing_tells_no_newer_revision() -> None:
    """Its revision may be one that no record has, which other managers would see late."""

    async def scenario() -> None:
        async with two_managers() as rig:
            await rig.create("data")
            before = rig.stores[0].newest_revision
            await rig.stores[0].commit([delete(kinds.VOLUME, "nosuch")])
            assert rig.stores[0].newest_revision == before

    asyncio.run(scenario())


def test_an_answer_is_kept_until_something_changes() -> None:
    async def scenario() -> None:
        async with two_managers() as rig:
            empty = await rig.volumes()
            assert (names(empty), await rig.volumes() is empty) == ([], True)
            await rig.create("data")
            one = await rig.volumes()
            assert (names(one), await rig.volumes() is one) == (["data"], True)
            rig.use(1)  # which knows nothing of the other one's views
            other = await rig.volumes()
            assert (names(other), other is one) == (["data"], False)
            rig.use(0)
            assert names(await rig.volumes()) == ["data"]

    asyncio.run(scenario())


def test_of_a_view_that_has_just_been_confirmed_nothing_is_asked() -> None:
    async def scenario() -> None:
        async with two_managers() as rig:
            await rig.create("data")
            known = await rig.volumes()
            await ControlStub(rig.channels[0]).CreateVolume(CreateVolumeRequest(spec=VolumeSpec(name="more")))
            assert await rig.volumes(view=known.view) is known
            assert names(await rig.volumes(view="another")) == ["data", "more"]

    asyncio.run(scenario())


def test_what_a_manager_has_written_itself_does_not_hide_what_it_sees_late() -> None:
    """Its newest revision is the same before and after the older write of another manager has arrived."""

    async def scenario() -> None:
        async with two_managers() as rig:
            rig.use(1)
            rig.etcd.delivers.clear()
            await ControlStub(rig.channels[0]).CreateVolume(CreateVolumeRequest(spec=VolumeSpec(name="first")))
            await ControlStub(rig.channels[1]).CreateVolume(CreateVolumeRequest(spec=VolumeSpec(name="second")))
            assert names(await rig.volumes()) == ["second"]
            rig.etcd.delivers.set()
            await rig.stores[1].reached(rig.stores[0].newest_revision)
            assert names(await rig.volumes()) == ["first", "second"]

    asyncio.run(scenario())
