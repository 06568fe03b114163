"""A task waits for its secrets, they never reach the disk, and a restarted agent's containers need none."""

import asyncio
from pathlib import Path

from shoal.api.v1.container_pb2 import Mount, VolumeOptions
from shoal.api.v1.dispatcher_pb2 import Assignments, AttachmentSecret, VolumeAttachment
from shoal.api.v1.file_pb2 import FileContent, FileReference
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import TaskState
from shoal.api.v1.volume_pb2 import VolumePublication
from tests.fakes.virtual_time import run_virtual
from tests.unit.agent_core.worker_rig import Machine, assign, revision, task

PLAIN = b"a very secret word"


def with_secret() -> ServiceRevision:
    made = revision()
    reference = FileReference(source="x", version="1", name="pw", target="/run/secrets/pw", uid=7, mode=0o400)
    made.spec.task.container.secrets.append(reference)
    return made


def content() -> Assignments:
    return Assignments(files=[FileContent(key="secret/x/1", content=PLAIN)])


def on_disk(directory: Path, text: bytes) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and text in path.read_bytes()]


def test_a_task_starts_when_its_secret_has_come(tmp_path: Path) -> None:
    async def scenario() -> None:
        machine = Machine(tmp_path)
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), revisions=(with_secret(),)))
            await machine.until_true(lambda: any("waiting for secret pw" in each.message for each in machine.reports))
            await asyncio.sleep(60)
            assert not machine.runtime.requests
            worker.receive(content())
            await machine.until("t1", TaskState.RUNNING)
            (mounted,) = machine.runtime.requests["t1"].mounted_files
            assert (mounted.path, mounted.content, mounted.uid, mounted.mode) == ("/run/secrets/pw", PLAIN, 7, 0o400)
            assert PLAIN.decode() not in repr(machine.runtime.requests["t1"])
        assert not on_disk(tmp_path, PLAIN)
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), task("t2"), revisions=(with_secret(),)))
            await machine.until_true(lambda: worker.knows("t2"))
            await asyncio.sleep(10)
            assert machine.last("t1").state == TaskState.RUNNING, "what runs needs nothing"
            assert "t2" not in machine.runtime.requests
            worker.receive(content())
            await machine.until("t2", TaskState.RUNNING)
        assert not on_disk(tmp_path, PLAIN)

    run_virtual(scenario())


def test_a_task_that_waits_can_be_stopped_and_contents_are_forgotten(tmp_path: Path) -> None:
    async def scenario() -> None:
        machine = Machine(tmp_path)
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), revisions=(with_secret(),)))
            await machine.until_true(lambda: any("waiting" in each.message for each in machine.reports))
            worker.receive(assign(task("t1", desired=TaskState.SHUTDOWN), revisions=(with_secret(),)))
            await machine.until("t1", TaskState.SHUTDOWN)
            worker.receive(content())
            worker.receive(assign())
            await machine.until_true(lambda: not worker.knows("t1"))
            worker.receive(assign(task("t2"), revisions=(with_secret(),)))
            await asyncio.sleep(10)
            assert "t2" not in machine.runtime.requests, "no task needed the content, so it was forgotten"

    run_virtual(scenario())


def test_a_volumes_secret_comes_to_its_driver_and_to_no_container(tmp_path: Path) -> None:
    async def scenario() -> None:
        machine = Machine(tmp_path)
        made = revision()
        use = VolumeOptions(name="data", driver="d", single_node=True)
        made.spec.task.container.mounts.append(Mount(type=Mount.VOLUME, source="v", target="/data", volume=use))
        secret = AttachmentSecret(key="password", content_key="secret/x/1", name="pw")
        ready = VolumePublication.READY
        attached = VolumeAttachment(
            volume_id="v", name="data", driver="d", publication_number=1, state=ready, secrets=[secret]
        )
        async with machine.agent() as worker:
            notifier = assign(task("t1"), revisions=(made,))
            notifier.attachments.append(attached)
            worker.receive(notifier)
            waits = "volume data: waiting for secret pw"
            await machine.until_true(lambda: any(waits in each.message for each in machine.reports))
            worker.receive(content())
            await machine.until("t1", TaskState.RUNNING)
            assert machine.runtime.requests["t1"].mounted_files == (), "the container has none of it"
        assert not on_disk(tmp_path, PLAIN)

    run_virtual(scenario())
