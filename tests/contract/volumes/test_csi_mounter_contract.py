"""What every `MountCalls` promises: one suite on the fake, and on the real thing with a real driver and real mounts."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.csi.driver_registry import DriverRegistry
from agent.csi.driver_sockets import DriverSocket
from agent.files.file_contents import FileContents
from agent.volumes.csi_mounter import CsiMounter
from agent.volumes.csi_volumes import MountCalls
from agent.volumes.mount_table import mounted_below, unmount_all
from shoal.api.v1.dispatcher_pb2 import Assignments, VolumeAttachment
from shoal.api.v1.file_pb2 import FileContent
from shoal.api.v1.volume_pb2 import VolumePublication
from shoal.errors import ShoalError
from tests.csi_driver.driver import DRIVER
from tests.csi_driver.pool import Pool
from tests.fakes.csi_mounter import FakeCsiMounter

ROOT = Path(__file__).parents[3]

Promise = Callable[[MountCalls, Callable[[], MountCalls]], Awaitable[None]]


@asynccontextmanager
async def real_driver(
    directory: Path, *more: str, call_seconds: float = 30.0
) -> AsyncGenerator[tuple[DriverRegistry, Pool]]:
    """A driver of node h1 on a pool of its own, and the agent's view of it."""
    pool, socket = Pool(directory / "pool"), directory / "csi.sock"
    command = [sys.executable, "-m", "tests.csi_driver.driver", "--node", "h1", "--socket", str(socket), *more]
    process = await asyncio.create_subprocess_exec(*command, "--pool", str(pool.directory), cwd=ROOT)
    drivers = DriverRegistry(directory=directory / "none", configured=[DriverSocket(socket)], call_seconds=call_seconds)
    try:
        async with asyncio.timeout(60):
            while not drivers.descriptions():
                await drivers.refresh()
                await asyncio.sleep(0.05)
        yield drivers, pool
    finally:
        await drivers.close()
        process.terminate()
        await process.wait()


def attachment(volume_id: str = "v1") -> VolumeAttachment:
    return VolumeAttachment(
        volume_id=volume_id,
        name="data",
        driver=DRIVER,
        publication_number=1,
        state=VolumePublication.READY,
        driver_volume_id=f"vol-{volume_id}",
        publish_context={"attached": "node-h1"},
    )


async def mounts_are_repeatable_and_remembered(mounts: MountCalls, again: Callable[[], MountCalls]) -> None:
    assert list(mounts.records()) == []
    for _ in range(2):
        await mounts.mount(attachment())
    assert list(again().records()) == [attachment()]
    for _ in range(2):
        await mounts.unmount(attachment())
    assert list(again().records()) == []


async def a_failed_mount_is_remembered(mounts: MountCalls, again: Callable[[], MountCalls]) -> None:
    with pytest.raises(ShoalError):
        await mounts.mount(attachment("broken"))
    assert [each.volume_id for each in again().records()] == ["broken"]
    await mounts.unmount(attachment("broken"))
    assert list(again().records()) == []


PROMISES: list[Promise] = [mounts_are_repeatable_and_remembered, a_failed_mount_is_remembered]


@pytest.mark.parametrize("promise", PROMISES)
def test_on_the_fake(promise: Promise) -> None:
    mounts = FakeCsiMounter()
    mounts.failures = 1 if promise is a_failed_mount_is_remembered else 0
    asyncio.run(_wait_for(promise(mounts, lambda: FakeCsiMounter(mounts.disk))))


@pytest.mark.parametrize("promise", PROMISES)
def test_on_the_real_thing(promise: Promise, tmp_path: Path) -> None:
    async def run() -> None:
        async with real_driver(tmp_path) as (drivers, pool):
            pool.make("vol-v1", {})
            pool.attach("vol-v1", "node-h1")
            attached = tmp_path / "attached"
            try:
                await promise(
                    CsiMounter(attached, drivers, FileContents()),
                    lambda: CsiMounter(attached, drivers, FileContents()),
                )
                assert mounted_below(attached) == [attached], "nothing of a volume stays mounted"
            finally:
                unmount_all(attached)

    asyncio.run(run())


def test_what_is_written_is_in_the_pool_and_survives_its_release(tmp_path: Path) -> None:
    async def run() -> None:
        async with real_driver(tmp_path) as (drivers, pool):
            pool.make("vol-v1", {})
            pool.attach("vol-v1", "node-h1")
            mounts = CsiMounter(tmp_path / "attached", drivers, FileContents())
            try:
                await mounts.mount(attachment())
                (mounts.target("v1") / "file").write_text("mine")
                await mounts.unmount(attachment())
                assert (pool.data("vol-v1") / "file").read_text() == "mine"
                assert list((tmp_path / "attached").iterdir()) == []
            finally:
                unmount_all(tmp_path / "attached")

    asyncio.run(run())


def test_the_driver_is_asked_what_it_is_and_missed_when_it_is_away(tmp_path: Path) -> None:
    async def run() -> None:
        async with real_driver(tmp_path, "--zone", "z1", "--max-volumes", "3", "--no-attach") as (drivers, pool):
            (description,) = drivers.descriptions()
            assert (description.name, description.node_id, dict(description.topology), description.max_volumes) == (
                DRIVER,
                "node-h1",
                {"zone": "z1"},
                3,
            )
            assert (
                description.has_controller
                and description.creates_volumes
                and description.stages_volumes
                and description.has_topology
                and not description.attaches_volumes
            )
            pool.break_calls(Probe={})
            await drivers.refresh()
            assert "is not ready yet" in drivers.descriptions()[0].problem
            with pytest.raises(ShoalError, match="is not ready yet"):
                drivers.get(DRIVER)
            pool.break_calls()
            await drivers.refresh()
            assert not drivers.descriptions()[0].problem

    asyncio.run(run())


def test_a_driver_that_says_nothing_is_given_up_after_the_time_for_a_call(tmp_path: Path) -> None:
    async def run() -> None:
        async with real_driver(tmp_path, call_seconds=2.0) as (drivers, pool):
            pool.make("vol-v1", {})
            pool.attach("vol-v1", "node-h1")
            pool.break_calls(NodeStageVolume={"seconds": 3.0, "times": 1})
            mounts = CsiMounter(tmp_path / "attached", drivers, FileContents())
            try:
                with pytest.raises(ShoalError, match=r"no response from driver .* to NodeStageVolume within 2 s"):
                    await mounts.mount(attachment())
                await mounts.mount(attachment())
                await mounts.unmount(attachment())
            finally:
                unmount_all(tmp_path / "attached")

    asyncio.run(run())


def test_a_driver_is_given_its_secrets_and_the_disk_is_not(tmp_path: Path) -> None:
    async def run() -> None:
        async with real_driver(tmp_path) as (drivers, pool):
            pool.make("vol-v1", {})
            pool.attach("vol-v1", "node-h1")
            pool.want_secrets({"password": "t0pSecret"})
            assigned, contents = attachment(), FileContents()
            assigned.secrets.add(key="password", content_key="secret/x/1", name="pw")
            mounts = CsiMounter(tmp_path / "attached", drivers, contents)

            def bring(content: bytes) -> None:
                file = FileContent(key="secret/x/1", content=content)
                contents.apply(Assignments(attachments=[assigned], files=[file]), ())

            try:
                with pytest.raises(ShoalError, match="waiting for secret pw"):
                    await mounts.mount(assigned)
                bring(b"\xff")
                with pytest.raises(ShoalError, match="secret pw must be UTF-8 text"):
                    await mounts.mount(assigned)
                bring(b"wr0ngWord")
                with pytest.raises(ShoalError, match=r"does not know \{'password': '\[secret\]'\} \(UNAUTH"):
                    await mounts.mount(assigned)
                bring(b"t0pSecret")
                await mounts.mount(assigned)
                kept = [path.read_bytes() for path in (tmp_path / "attached").rglob("*") if path.is_file()]
                assert kept and not [each for each in kept if b"t0pSecret" in each]
                await mounts.unmount(assigned)
            finally:
                unmount_all(tmp_path / "attached")

    asyncio.run(run())


def test_a_driver_that_stages_nothing_and_names_no_nodes(tmp_path: Path) -> None:
    async def run() -> None:
        async with real_driver(tmp_path, "--no-stage", "--no-attach", "--no-node-info") as (drivers, pool):
            (description,) = drivers.descriptions()
            assert not description.stages_volumes and not description.attaches_volumes and description.node_id == DRIVER
            pool.make("vol-v1", {})
            mounts = CsiMounter(tmp_path / "attached", drivers, FileContents())
            try:
                await mounts.mount(attachment())
                (mounts.target("v1") / "file").write_text("mine")
                await mounts.unmount(attachment())
                assert (pool.data("vol-v1") / "file").read_text() == "mine"
                assert not [line for line in pool.calls() if "StageVolume" in line]
            finally:
                unmount_all(tmp_path / "attached")

    asyncio.run(run())


async def _wait_for(work: Awaitable[None]) -> None:
    await work
