"""What nodes report of their images, and receive of the cluster's image repository, over a real session."""

import asyncio
from functools import partial
from pathlib import Path

from manager.store.changes import put
from manager.store.kinds import CLUSTER_SETTINGS
from shoal.api.v1.cluster_pb2 import ClusterSettings
from shoal.distribution.digests import digest_of
from tests.fakes.image_reports import FakeImageReports
from tests.integration.session.session_rig import ManagerProcess, SessionRig, one_manager
from tests.polling import until


def held(manager: ManagerProcess) -> list[str]:
    """Digests of the node's record."""
    record = manager.store.tables.node_images.get("n1")
    return list(record.digests) if record is not None else []


def received(images: FakeImageReports, name: str) -> bool:
    """Whether this is the newest that a manager has said."""
    return images.repositories[-1:] == [name]


def test_a_node_reports_its_images_whenever_they_change(tmp_path: Path) -> None:
    async def run() -> None:
        rig = SessionRig(tmp_path)
        images = FakeImageReports([digest_of(b"a"), "no digest", digest_of(b"a")])
        async with one_manager(rig, "n1") as manager, rig.agent("n1", [manager.address], images=images):
            await until(lambda: held(manager) == [digest_of(b"a")])
            images.digests = [digest_of(b"b"), digest_of(b"c")]
            images.changed.notify()
            await until(lambda: held(manager) == sorted(images.digests))
            images.digests = []
            images.changed.notify()
            await until(lambda: not held(manager))

    asyncio.run(run())


def test_a_node_that_reports_too_many_images_loses_its_session(tmp_path: Path) -> None:
    async def run() -> None:
        rig = SessionRig(tmp_path)
        images = FakeImageReports([digest_of(str(number).encode()) for number in range(10_001)])
        async with (
            one_manager(rig, "n1") as manager,
            rig.agent("n1", [manager.address], images=images) as work,
        ):
            await until(lambda: False in work.touch)
            assert not held(manager)

    asyncio.run(run())


def test_nodes_are_told_of_the_image_repository_at_once_and_when_it_changes(tmp_path: Path) -> None:
    async def run() -> None:
        rig = SessionRig(tmp_path)
        first, later = FakeImageReports(), FakeImageReports()
        async with one_manager(rig, "n1", "n2") as manager:
            async with rig.agent("n1", [manager.address], images=first) as work:
                await until(lambda: True in work.touch)
                for name in ("registry:5000/shoal/pool", "other:5000/shoal/pool"):
                    await manager.store.commit([put(CLUSTER_SETTINGS, "", ClusterSettings(image_repository=name))])
                    await until(partial(received, first, name))
            async with rig.agent("n2", [manager.address], images=later):
                await until(lambda: later.repositories == ["other:5000/shoal/pool"])
                await manager.store.commit([put(CLUSTER_SETTINGS, "", ClusterSettings())])
                await until(lambda: later.repositories[-1] == "")

    asyncio.run(run())
