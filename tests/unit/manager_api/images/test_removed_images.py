"""The leader deletes the bytes of removed images that a manager did not: again until it succeeds, and never others."""

import asyncio

import pytest

from manager.controllers.removed_images import RemovedImageCollector, unused_images
from manager.events.image_events import events_of
from manager.images.image_locks import (
    REMOVING_MS,
    is_exclusive,
    lock_key,
    named_lock,
    pending_deletions,
    pending_lock,
    removed_id,
    removing_lock,
)
from manager.images.image_removal import KEPT_MS
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.cluster_pb2 import ClusterSettings, Leader
from shoal.api.v1.control_pb2 import CreateServiceRequest
from shoal.api.v1.engine_pb2 import SetImageRequest
from shoal.api.v1.meta_pb2 import Name
from shoal.api.v1.standalone_pb2 import Image
from shoal.errors import Conflict, LeadershipLost, NotFound, PermissionDenied, Refused, ShoalError, Unavailable
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, two_managers, with_api
from tests.unit.manager_api.images.image_handler_rig import FakeContents, Rig, index_of

AWAY = Unavailable("the registry is away")


class LeaderRig(Rig):
    """The same manager, which leads."""

    def __init__(self, api: Api) -> None:
        super().__init__(api, removal_seconds=0.0)
        self.api = api
        self.collector = RemovedImageCollector(store=api.store, contents=self.contents, now_ms=lambda: self.now)

    async def lead(self, repository: str = "registry:5000/shoal/pool") -> int:
        """Begin a term; its fence."""
        settings = put(kinds.CLUSTER_SETTINGS, "", ClusterSettings(image_repository=repository))
        return await self.api.store.commit([put(kinds.LEADER, "", Leader(manager_id="m")), settings])

    async def crash_in_removal(self, name: str) -> None:
        """Remove an image by a manager that ends before its bytes are deleted."""

        def crash() -> None:
            raise KeyboardInterrupt

        self.contents.during_forget = crash
        with pytest.raises(KeyboardInterrupt):
            await self.remove(name)
        self.contents.during_forget = lambda: None

    def lock(self, digest: str) -> Name | None:
        return self.api.store.tables.names.get(lock_key(digest))


def test_a_removal_that_was_broken_off_is_carried_out_once_its_manager_has_surely_ended() -> None:
    async def scenario(api: Api) -> None:
        rig = LeaderRig(api)
        fence = await rig.lead()
        image = await rig.set("web:1", "a")
        other = await rig.set("other:1", "b")
        await rig.crash_in_removal("web:1")
        assert await rig.collector.collect(fence)
        assert rig.contents.forgotten == []
        rig.now += REMOVING_MS
        marks: list[Name | None] = []
        rig.contents.during_forget = lambda: marks.append(rig.lock(image.digest))
        assert await rig.collector.collect(fence)
        assert rig.contents.forgotten == [image.digest]
        (mark,) = marks
        assert mark is not None and is_exclusive(mark, rig.now), "nothing may be named meanwhile"
        assert rig.lock(image.digest) is None
        assert rig.lock(other.digest) is not None
        assert await rig.collector.collect(fence)
        assert rig.contents.forgotten == [image.digest]

    with_api(scenario)


def test_while_the_registry_is_away_it_is_tried_again_and_again_one_image_at_a_time() -> None:
    async def scenario(api: Api) -> None:
        rig = LeaderRig(api)
        fence = await rig.lead()
        images = [await rig.set(f"{text}:1", text) for text in "abc"]
        rig.contents.failure = AWAY
        attempts: list[int] = []
        for text in "abc":
            rig.now += 1
            assert (await rig.remove(f"{text}:1"))[0] == [f"{text}:1"]
        rig.contents.during_forget = lambda: attempts.append(rig.now)
        for _ in range(4):
            rig.now += 1
            assert not await rig.collector.collect(fence)
        assert len(attempts) == 4
        assert list(pending_deletions(api.store.tables, rig.now))[-1] == images[0].digest
        rig.contents.failure = None
        assert await rig.collector.collect(fence)
        assert rig.contents.forgotten == [images[each].digest for each in (1, 2, 0)]
        assert not [each for each in api.store.tables.names if each.startswith("image/")]

    with_api(scenario)


def test_an_image_that_is_named_again_stays() -> None:
    async def scenario(api: Api) -> None:
        rig = LeaderRig(api)
        fence = await rig.lead()
        image = await rig.set("web:1", "a")
        rig.contents.failure = AWAY
        await rig.remove("web:1")
        rig.contents.failure = None
        assert (await rig.set("web:2", "a")).name == "docker.io/library/web:2", "at once: nobody is deleting it"
        assert await rig.collector.collect(fence)
        assert rig.contents.forgotten == []
        lock = rig.lock(image.digest)
        assert lock is not None and not removed_id(lock)

    with_api(scenario)


def test_an_image_that_is_named_while_its_deletion_begins_stays() -> None:
    async def scenario(api: Api) -> None:
        rig = LeaderRig(api)
        fence = await rig.lead()
        image = await rig.set("web:1", "a")
        rig.contents.failure = AWAY
        await rig.remove("web:1")
        rig.contents.failure = None
        read = pending_deletions(api.store.tables, rig.now)
        await rig.set("web:1", "a")
        assert await rig.collector._delete(image.digest, read[image.digest], fence)
        assert rig.contents.forgotten == []

    with_api(scenario)


def test_a_platform_of_another_image_waits_until_that_is_removed() -> None:
    async def scenario(api: Api) -> None:
        rig = LeaderRig(api)
        fence = await rig.lead()
        part = await rig.set("amd:1", "a")
        index = index_of("all:1", "a", "b")
        await rig.handler.set(SetImageRequest(image=index), ADMIN)
        assert (await rig.remove("amd:1"))[1] == [part.variants[0].config_digest]
        assert await rig.collector.collect(fence)
        assert rig.contents.forgotten == []
        await rig.remove("all:1")
        assert rig.contents.forgotten == [index.digest]
        assert await rig.collector.collect(fence)
        assert rig.contents.forgotten == [index.digest, part.digest]

    with_api(scenario)


def test_an_image_above_one_that_is_being_removed_is_not_named() -> None:
    async def run() -> None:
        async with two_managers() as (one, other):
            contents = FakeContents()
            remover, namer = Rig(one, contents), Rig(other, contents)
            part, index = await remover.set("amd:1", "a"), SetImageRequest(image=index_of("all:1", "a", "b"))
            attempts: list[asyncio.Task[object]] = []
            contents.during_forget = lambda: attempts.append(asyncio.create_task(namer.handler.set(index, ADMIN)))
            await remover.remove("amd:1")
            contents.missing = {part.digest}
            (named,) = await asyncio.gather(*attempts, return_exceptions=True)
            assert isinstance(named, (Conflict, NotFound)), named

    asyncio.run(run())


def test_an_image_that_becomes_part_of_another_one_while_it_is_removed_stays_or_that_has_no_name() -> None:
    async def run() -> None:
        async with two_managers() as (one, other):
            contents = FakeContents()
            namer, remover = Rig(one, contents), Rig(other, contents)
            part = await namer.set("amd:1", "a")
            contents.during_forget = lambda: contents.missing.add(part.digest)
            while not other.store.tables.images:  # noqa: ASYNC110  # its watch brings it
                await asyncio.sleep(0.001)
            index = SetImageRequest(image=index_of("all:1", "a", "b"))
            calls = namer.handler.set(index, ADMIN), remover.remove("amd:1")
            named, _ = await asyncio.gather(*calls, return_exceptions=True)
            assert isinstance(named, Conflict | NotFound if contents.forgotten else Image), named

    asyncio.run(run())


def test_what_a_service_uses_by_its_digest_waits() -> None:
    async def scenario(api: Api) -> None:
        rig = LeaderRig(api)
        fence = await rig.lead()
        image = await rig.set("web:1", "a")
        rig.contents.failure = AWAY
        await rig.remove("web:1")
        rig.contents.failure = None
        spec = spec_of("shop", image=f"docker.io/library/web:1@{image.digest}")
        await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
        assert not await rig.collector.collect(fence), "pauses become longer"
        assert rig.contents.forgotten == []
        assert unused_images(api.store.tables, pending_deletions(api.store.tables, rig.now)) == {}

    with_api(scenario)


@pytest.mark.parametrize(
    ("failure", "age_ms", "is_left"),
    [
        (Refused("registry registry:5000 does not delete"), 0, True),
        (PermissionDenied("no"), KEPT_MS - 1, False),
        (PermissionDenied("no"), KEPT_MS, True),
    ],
)
def test_it_ends_where_the_registry_does_not_delete_and_after_a_week(
    failure: ShoalError, age_ms: int, is_left: bool
) -> None:
    async def scenario(api: Api) -> None:
        rig = LeaderRig(api)
        fence = await rig.lead()
        image = await rig.set("web:1", "a")
        rig.contents.failure = AWAY
        await rig.remove("web:1")
        rig.contents.failure = failure
        rig.now += age_ms
        assert not await rig.collector.collect(fence)
        assert (rig.lock(image.digest) is None) == is_left

    with_api(scenario)


def test_without_an_image_repository_it_waits_for_one() -> None:
    async def scenario(api: Api) -> None:
        rig = LeaderRig(api)
        fence = await rig.lead(repository="")
        image = await rig.set("web:1", "a")
        rig.contents.failure = Refused("the cluster has no image repository")
        await rig.remove("web:1")
        rig.contents.failure = None
        assert await rig.collector.collect(fence)
        assert rig.contents.forgotten == []
        await rig.lead()
        assert await rig.collector.collect(fence)
        assert rig.contents.forgotten == [image.digest]

    with_api(scenario)


def test_a_leader_whose_term_is_over_deletes_nothing() -> None:
    async def scenario(api: Api) -> None:
        rig = LeaderRig(api)
        fence = await rig.lead()
        await rig.set("web:1", "a")
        rig.contents.failure = AWAY
        await rig.remove("web:1")
        rig.contents.failure = None
        with pytest.raises(LeadershipLost):
            await rig.collector.collect(fence + 1)
        assert rig.contents.forgotten == []

    with_api(scenario)


def test_each_removal_has_one_event_however_often_its_deletion_is_attempted() -> None:
    named, removing = named_lock("sha256:" + 64 * "a", 1), removing_lock("sha256:b", 1, 1)
    pending = pending_lock("sha256:b", 1, 2)
    assert [each.action for each in events_of(named, removing, 1)] == ["delete"]
    assert [each.id for each in events_of(named, pending, 1)] == ["sha256:b"]
    for old, new in ((removing, pending), (pending, removing), (removing, None), (pending, named)):
        assert list(events_of(old, new, 1)) == []


def test_a_mark_that_has_run_out_and_is_taken_over_excludes_namings_again() -> None:
    async def scenario(api: Api) -> None:
        rig = LeaderRig(api)
        fence = await rig.lead()
        await rig.set("web:1", "a")
        await rig.crash_in_removal("web:1")
        rig.now += REMOVING_MS

        def crash() -> None:
            raise KeyboardInterrupt

        rig.contents.during_forget = crash
        with pytest.raises(KeyboardInterrupt):
            await rig.collector.collect(fence)
        with pytest.raises(Conflict, match="is being removed"):
            await rig.set("web:1", "a")

    with_api(scenario)
