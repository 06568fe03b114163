"""Images are removed and pruned; what services use stays, and whatever has a name has its bytes."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from random import Random

import pytest

from manager.controllers.removed_images import RemovedImageCollector
from manager.images.image_handler import ImageHandler
from manager.images.image_locks import REMOVING_MS
from manager.store.changes import put
from manager.store.kinds import CLUSTER_SETTINGS, LEADER
from shoal.api.v1.cluster_pb2 import ClusterSettings, Leader
from shoal.api.v1.control_pb2 import CreateServiceRequest
from shoal.api.v1.engine_pb2 import (
    PruneImagesRequest,
    RemoveImageRequest,
    SetImageRequest,
)
from shoal.api.v1.standalone_pb2 import Image
from shoal.errors import Conflict, InvalidInput, NotFound, Refused, Unavailable
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, two_managers, with_api
from tests.unit.manager_api.images.image_handler_rig import FakeContents, Rig, image_of, index_of


def test_the_last_name_takes_the_image_along() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
        image = await rig.set("web:1", "a")
        await rig.set("web:2", "a")
        config = image.variants[0].config_digest
        with pytest.raises(Refused, match="has several names"):
            await rig.remove(config[7:19])
        assert await rig.remove("web:1") == (["web:1"], [])
        assert rig.contents.forgotten == []
        assert await rig.remove("web:2") == (["web:2"], [config])
        assert rig.contents.forgotten == [image.digest]
        assert not [each for each in api.store.tables.names if each.startswith("image/")]
        with pytest.raises(NotFound):
            await rig.remove("web:2")
        await rig.set("web:1", "a")
        await rig.set("web:2", "a")
        assert await rig.remove(config[7:19], force=True) == (["web:1", "web:2"], [config])

    with_api(scenario)


def test_what_a_service_uses_stays() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
        image = await rig.set("web:1", "a")
        await rig.set("web:2", "a")
        spec = spec_of("shop", image=f"docker.io/library/web:1@{image.digest}")
        await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
        view = await rig.get("web:1")
        assert len(view.service_ids) == 1
        assert await rig.remove("web:2") == (["web:2"], [])
        for force in (False, True):
            with pytest.raises(Refused, match='image "web:1" is in use by shop'):
                await rig.remove("web:1", force=force)
        assert await rig.prune(everything=True) == []

    with_api(scenario)


def test_prune_removes_what_has_no_name_or_what_nothing_uses() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
        old = await rig.set("web:1", "a")
        await rig.set("web:1", "b")
        assert await rig.prune() == [old.variants[0].config_digest]
        assert rig.contents.forgotten == [old.digest]
        await rig.set("keep:1", "k", labels={"keep": "yes"})
        assert len(await rig.prune("label!=keep", everything=True)) == 1
        assert await rig.names() == [["docker.io/library/keep:1"]]
        assert await rig.prune("until=2025-01-01", everything=True) == []
        assert len(await rig.prune("dangling=false")) == 1
        with pytest.raises(InvalidInput, match="unknown key 'name'"):
            await rig.prune("name=x")

    with_api(scenario)


def test_nothing_is_named_while_its_bytes_are_deleted() -> None:
    async def run() -> None:
        async with two_managers() as (one, other):
            contents = FakeContents()
            remover, namer = Rig(one, contents), Rig(other, contents)
            await remover.set("web:1", "a")
            attempts: list[asyncio.Task[Image]] = []
            contents.during_forget = lambda: attempts.append(asyncio.create_task(namer.set("web:2", "a")))
            await remover.remove("web:1")
            (named,) = await asyncio.gather(*attempts, return_exceptions=True)
            # It waited until the bytes were gone, and would have been told so by the registry.
            assert isinstance(named, (Image, Conflict))
            assert contents.forgotten

    asyncio.run(run())


def test_a_removal_that_does_not_know_of_another_name_deletes_no_bytes() -> None:
    async def run() -> None:
        async with two_managers() as (one, other):
            contents = FakeContents()
            namer, remover = Rig(one, contents), Rig(other, contents)
            await namer.set("a:1", "x")
            while not other.store.tables.images:  # noqa: ASYNC110  # its watch brings it
                await asyncio.sleep(0.001)
            _, removed = await asyncio.gather(namer.set("b:1", "x"), remover.remove("a:1"))
            assert removed == (["a:1"], [])
            assert contents.forgotten == []
            assert await namer.names() == [["docker.io/library/b:1"]]

    asyncio.run(run())


class SlowContents:
    """The bytes of a registry that takes its time."""

    def __init__(self, chance: Random) -> None:
        self.digests: set[str] = set()
        self._chance = chance

    async def has(self, digest: str, parts: Sequence[str] = ()) -> bool:
        found = self.digests.issuperset((digest, *parts))
        await self._pause()
        return found

    async def forget(self, digest: str) -> None:
        await self._pause()
        if self._chance.random() < 0.3:
            raise Unavailable("the registry is away")
        self.digests.discard(digest)
        await self._pause()

    async def _pause(self) -> None:
        for _ in range(self._chance.randrange(8)):
            await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_has_a_name_has_its_bytes(seed: int) -> None:
    async def run() -> None:
        chance = Random(seed)
        contents, not_named = SlowContents(chance), set[str]()
        async with two_managers() as managers:
            handlers = [
                ImageHandler(store=each.store, contents=contents, now_ms=lambda: 1, removal_seconds=0.0)
                for each in managers
            ]
            settings = put(CLUSTER_SETTINGS, "", ClusterSettings(image_repository="registry:5000/shoal/pool"))
            fence = await managers[1].store.commit([put(LEADER, "", Leader(manager_id="m")), settings])
            collector = RemovedImageCollector(store=managers[1].store, contents=contents, now_ms=lambda: 1)

            async def repeat_deletions() -> None:
                for _ in range(15):
                    await collector.collect(fence)
                    await asyncio.sleep(0)

            async def name_or_remove() -> None:
                for _ in range(15):
                    handler, name, text = chance.choice(handlers), chance.choice(("a:1", "b:1")), chance.choice("xy")
                    with suppress(NotFound, Conflict, Refused):
                        if chance.random() < 0.5:
                            image = index_of("all:1", "x", "y") if chance.random() < 0.3 else image_of(name, text)
                            pushed = {image.digest, *(each.digest for each in image.variants)}
                            contents.digests |= pushed
                            not_named.update(pushed)
                            await handler.set(SetImageRequest(image=image), ADMIN)
                            not_named.discard(image.digest)
                        elif chance.random() < 0.7:
                            await handler.remove(RemoveImageRequest(image=chance.choice((name, "all:1"))), ADMIN)
                        else:
                            await handler.prune(PruneImagesRequest(), ADMIN)

            await asyncio.gather(*(name_or_remove() for _ in range(4)), repeat_deletions())
            images = managers[1].store.tables.images.values()
            named = {digest for each in images for digest in (each.digest, *(one.digest for one in each.variants))}
            assert named <= contents.digests
            while not await collector.collect(fence):
                pass
            assert contents.digests - named <= not_named, "what was removed is deleted"

    asyncio.run(run())


def test_a_removal_that_was_broken_off_is_no_obstacle_for_ever() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api, removal_seconds=0.0)
        await rig.set("web:1", "a")

        def crash() -> None:
            raise KeyboardInterrupt

        rig.contents.during_forget = crash
        with pytest.raises(KeyboardInterrupt):
            await rig.remove("web:1")
        with pytest.raises(Conflict, match="is being removed"):
            await rig.set("web:1", "a")
        rig.now += REMOVING_MS
        assert (await rig.set("web:1", "a")).name == "docker.io/library/web:1"

    with_api(scenario)


def test_who_names_an_image_that_is_being_removed_waits_and_is_told_to_push_it_again() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
        digest = (await rig.set("web:1", "a")).digest
        rig.contents.goes_on, begun = asyncio.Event(), asyncio.Event()
        rig.contents.during_forget = begun.set
        removing = asyncio.create_task(rig.remove("web:1"))
        await begun.wait()
        naming = asyncio.create_task(rig.set("web:1", "a"))
        await asyncio.wait([naming], timeout=0.8)
        assert not naming.done()
        rig.contents.missing.add(digest)
        rig.contents.goes_on.set()
        await removing
        with pytest.raises(NotFound, match="push it again"):
            await naming
        rig.contents.missing.clear()
        assert (await rig.set("web:1", "a")).digest == digest

    with_api(scenario)


def test_a_registry_that_is_away_keeps_no_name_from_being_removed() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
        await rig.set("web:1", "a")
        rig.contents.failure = Unavailable("the registry is away")
        assert (await rig.remove("web:1"))[0] == ["web:1"]
        assert await rig.names() == []

    with_api(scenario)
