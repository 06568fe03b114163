"""Volumes of drivers on a node: brought when managers say so, kept under containers, let go of, found again."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from agent.files.file_contents import FileContents
from agent.volumes.csi_volumes import CsiVolumes
from shoal.api.v1.container_pb2 import Mount, VolumeOptions
from shoal.api.v1.dispatcher_pb2 import Assignments, AttachmentSecret, VolumeAttachment
from shoal.api.v1.file_pb2 import FileContent
from shoal.api.v1.volume_pb2 import NodePublication, VolumePublication
from shoal.notifier import Notifier
from tests.fakes.csi_mounter import FakeCsiMounter
from tests.fakes.virtual_time import run_virtual

MOUNT = Mount(
    type=Mount.VOLUME, source="v", target="/data", volume=VolumeOptions(name="data", driver="d", subpath="sub")
)


class Rig:
    """Attachments that run, with what containers have."""

    def __init__(self, mounts: FakeCsiMounter) -> None:
        self.mounts = mounts
        self.held: set[str] = set()
        self.reported: list[str] = []
        self.contents = FileContents()
        self.attachments = CsiVolumes(mounts, self.contents, Notifier())

    def say(
        self, state: VolumePublication.State.ValueType, number: int = 1, *, problem: str = "", snapshot: bool = False
    ) -> None:
        reported = VolumeAttachment(
            volume_id="v", name="data", driver="d", publication_number=number, state=state, problem=problem
        )
        self.attachments.apply(Assignments(snapshot=snapshot, attachments=[reported]))

    def receive(self, message: Assignments) -> None:
        """As the worker does."""
        self.contents.apply(message, ())
        self.attachments.apply(message)

    def report(self) -> NodePublication:
        (found,) = self.attachments.publications()
        return found

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(300):
            while not condition():  # noqa: ASYNC110  # the clock is virtual
                await asyncio.sleep(0.01)


def with_rig(scenario: Callable[[Rig], Awaitable[None]], mounts: FakeCsiMounter | None = None) -> None:
    async def run() -> None:
        rig = Rig(mounts or FakeCsiMounter())
        running = asyncio.create_task(rig.attachments.run(lambda: rig.held))
        try:
            await scenario(rig)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    run_virtual(run())


def test_a_task_waits_until_it_is_there_and_tells_why() -> None:
    async def scenario(rig: Rig) -> None:
        waiting = asyncio.create_task(rig.attachments.prepare(MOUNT, rig.reported.append))
        await asyncio.sleep(1)
        rig.say(VolumePublication.WAITING, problem="it is in use on node h1")
        await asyncio.sleep(1)
        assert not waiting.done() and not rig.mounts.calls
        rig.mounts.failures = 2
        rig.say(VolumePublication.READY)
        source = await waiting
        assert (source.data, source.subpath, source.populate) == (Path("/attached/v/target"), "sub", False)
        assert rig.reported == [
            "waiting for volume data",
            "volume data: it is in use on node h1",
            "waiting for volume data",
            "volume data: driver x is away",
        ]
        assert rig.mounts.calls == ["mount v"] * 3
        assert rig.report() == NodePublication(volume_id="v", number=1, mounted=True)

    with_rig(scenario)


def test_a_fault_at_one_volume_is_told_as_its_own_and_tried_again() -> None:
    async def scenario(rig: Rig) -> None:
        rig.mounts.failures, rig.mounts.failure = 1, ValueError("odd")
        rig.say(VolumePublication.READY)
        await rig.until(lambda: bool(rig.report().problem))
        assert "ValueError: odd" in rig.report().problem
        await rig.until(lambda: rig.report().mounted)

    with_rig(scenario)


def test_it_is_let_go_of_only_after_the_last_container() -> None:
    async def scenario(rig: Rig) -> None:
        rig.say(VolumePublication.READY)
        await rig.until(lambda: rig.attachments.is_usable("v"))
        rig.held.add("v")
        rig.say(VolumePublication.RELEASING)
        await asyncio.sleep(60)
        assert rig.mounts.mounted == {"v"} and not rig.report().released
        assert not rig.attachments.is_usable("v"), "no other container gets it any more"
        rig.mounts.failures = 1
        rig.held.clear()
        await rig.until(lambda: rig.report().problem == "driver x is away")
        await rig.until(lambda: rig.report().released)
        assert not rig.mounts.disk and rig.report() == NodePublication(volume_id="v", number=1, released=True)
        rig.attachments.apply(Assignments(removed_attachments=["v"]))
        assert rig.attachments.publications() == []

    with_rig(scenario)


def test_a_new_number_is_a_new_mount() -> None:
    async def scenario(rig: Rig) -> None:
        rig.say(VolumePublication.READY, 1)
        await rig.until(lambda: rig.attachments.is_usable("v"))
        rig.say(VolumePublication.READY, 2)
        assert not rig.attachments.is_usable("v")
        await rig.until(lambda: rig.attachments.is_usable("v"))
        assert rig.mounts.calls == ["mount v", "release v", "mount v"] and rig.report().number == 2

    with_rig(scenario)


def test_what_the_disk_knows_waits_for_the_managers_word() -> None:
    disk = {"v": VolumeAttachment(volume_id="v", publication_number=1, state=VolumePublication.READY)}

    async def comes_back(rig: Rig) -> None:
        await asyncio.sleep(60)
        assert not rig.mounts.calls, "with no manager in reach nothing is touched"
        rig.say(VolumePublication.READY, snapshot=True)
        await rig.until(lambda: rig.attachments.is_usable("v"))
        assert rig.mounts.calls == ["mount v"], "which the interface makes idempotent"

    async def is_unknown_by_now(rig: Rig) -> None:
        rig.attachments.apply(Assignments(snapshot=True))
        await rig.until(lambda: rig.attachments.publications() == [])
        assert rig.mounts.calls == ["release v"] and not rig.mounts.disk

    with_rig(comes_back, FakeCsiMounter(dict(disk)))
    with_rig(is_unknown_by_now, FakeCsiMounter(dict(disk)))


def with_a_secret(version: str) -> VolumeAttachment:
    secret = AttachmentSecret(key="password", content_key=f"secret/x/{version}", name="pw")
    ready = VolumePublication.READY
    return VolumeAttachment(volume_id="v", name="data", driver="d", publication_number=1, state=ready, secrets=[secret])


def test_a_driver_is_asked_when_the_secret_that_it_is_given_has_come() -> None:
    async def scenario(rig: Rig) -> None:
        rig.receive(Assignments(attachments=[with_a_secret("1")]))
        waiting = asyncio.create_task(rig.attachments.prepare(MOUNT, rig.reported.append))
        await asyncio.sleep(60)
        assert not rig.mounts.calls and rig.reported == ["volume data: waiting for secret pw"]
        rig.receive(Assignments(files=[FileContent(key="secret/x/1", content=b"tOpSeCrEt")]))
        await waiting
        assert rig.mounts.calls == ["mount v"] and b"tOpSeCrEt" not in rig.mounts.disk["v"].SerializeToString()
        rig.receive(Assignments(attachments=[with_a_secret("2")]))
        await asyncio.sleep(60)
        assert rig.mounts.calls == ["mount v"] and rig.attachments.is_usable("v"), "what is mounted stays"
        rig.say(VolumePublication.RELEASING)
        await rig.until(lambda: rig.report().released)

    with_rig(scenario)
