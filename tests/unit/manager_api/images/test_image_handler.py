"""Names of images: set, found, listed, removed and pruned; what services use stays."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest

from manager.images.filter_moments import moment_ms
from manager.images.image_handler import ImageHandler
from manager.images.image_removal import REMOVING_MS
from manager.images.named_images import NamedImageResolver
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.control_pb2 import CreateServiceRequest
from shoal.api.v1.engine_pb2 import (
    Filter,
    GetImageRequest,
    ImageView,
    ListImagesRequest,
    PruneImagesRequest,
    RemoveImageRequest,
    SetImageRequest,
)
from shoal.api.v1.meta_pb2 import Platform as PlatformMessage
from shoal.api.v1.standalone_pb2 import Image, ImageVariant, NodeImages
from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import Platform
from shoal.errors import Conflict, InvalidInput, NotFound, Refused, Unavailable
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, two_managers, with_api


class FakeContents:
    """The bytes of a registry: all that were not forgotten."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []
        self.missing: set[str] = set()
        self.fails = False
        self.during_forget: Callable[[], object] = lambda: None

    async def has(self, digest: str) -> bool:
        return digest not in self.missing

    async def forget(self, digest: str) -> None:
        self.during_forget()
        if self.fails:
            raise Unavailable("the registry is away")
        self.forgotten.append(digest)


def variant_of(
    text: str, *, labels: dict[str, str] | None = None, created: str = "2026-01-01T00:00:00Z"
) -> ImageVariant:
    """A variant that a text tells from others."""
    config = json.dumps(
        {
            "created": created,
            "config": {"Labels": labels or {}},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(b"layer")]},
            "text": text,
        }
    ).encode()
    return ImageVariant(
        platform=PlatformMessage(os="linux", architecture="amd64"),
        digest=digest_of(b"manifest " + text.encode()),
        config_digest=digest_of(config),
        layers=[digest_of(b"layer")],
        layer_bytes=[5],
        config=config,
    )


def image_of(
    name: str, text: str, *, labels: dict[str, str] | None = None, created: str = "2026-01-01T00:00:00Z"
) -> Image:
    """An image."""
    variant = variant_of(text, labels=labels, created=created)
    return Image(name=f"docker.io/library/{name}" if name else "", digest=variant.digest, variants=[variant])


class Rig:
    """The images' calls of one manager."""

    def __init__(self, api: Api, contents: FakeContents | None = None) -> None:
        self.now = 1_000_000
        self.contents = contents or FakeContents()
        self.handler = ImageHandler(store=api.store, contents=self.contents, now_ms=lambda: self.now)

    async def set(self, *arguments: str, **more: object) -> Image:
        return await self.handler.set(SetImageRequest(image=image_of(*arguments, **more)), ADMIN)  # type: ignore[arg-type]

    async def get(self, reference: str) -> ImageView:
        return await self.handler.get(GetImageRequest(image=reference), ADMIN)

    async def names(self, *filters: str) -> list[list[str]]:
        given = [Filter(key=key, value=value) for key, _, value in (each.partition("=") for each in filters)]
        found = await self.handler.list(ListImagesRequest(filters=given), ADMIN)
        return sorted(list(each.names) for each in found.images)

    async def remove(self, reference: str, *, force: bool = False) -> tuple[list[str], list[str]]:
        done = await self.handler.remove(RemoveImageRequest(image=reference, force=force), ADMIN)
        return list(done.untagged), list(done.deleted)

    async def prune(self, *filters: str, everything: bool = False) -> list[str]:
        given = [Filter(key=key, value=value) for key, _, value in (each.partition("=") for each in filters)]
        done = await self.handler.prune(PruneImagesRequest(all=everything, filters=given), ADMIN)
        return list(done.deleted)


def test_an_image_is_found_by_name_id_and_digest() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
        image = await rig.set("nginx:1", "a")
        await rig.set("nginx:2", "b")
        config = image.variants[0].config_digest
        for reference in ("nginx:1", "docker.io/library/nginx:1", config, config[7:], config[7:19], image.digest):
            assert (await rig.get(reference)).image.digest == image.digest
        assert (await rig.get(f"nginx@{image.digest}")).image.digest == image.digest
        for reference in ("nginx", "redis:1", f"redis@{image.digest}", "f" * 64):
            with pytest.raises(NotFound, match="No such image: "):
                await rig.get(reference)
        with pytest.raises(NotFound, match="No such image: redis:latest"):
            await rig.get("redis")
        with pytest.raises(InvalidInput):
            await rig.get("UPPER")

    with_api(scenario)


def test_an_ambiguous_prefix_is_refused() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
        images = [await rig.set(f"n{number}:1", str(number)) for number in range(20)]
        first = [each.variants[0].config_digest[7] for each in images]
        double = next(each for each in first if first.count(each) > 1)
        with pytest.raises(InvalidInput, match="ambiguous"):
            await rig.get(double)

    with_api(scenario)


def test_a_name_that_moves_leaves_an_image_without_a_name() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
        old = await rig.set("web:1", "a")
        new = await rig.set("web:1", "b")
        assert await rig.names() == [[], ["docker.io/library/web:1"]]
        assert (await rig.get("web:1")).image.digest == new.digest
        assert list((await rig.get(old.digest)).names) == []
        await rig.set("web:old", "a")
        assert await rig.names() == [["docker.io/library/web:1"], ["docker.io/library/web:old"]]
        await rig.set("web:2", "b")
        await rig.set("web:1", "a")
        assert await rig.names("dangling=true") == []

    with_api(scenario)


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


def test_listings_are_filtered_as_docker_does() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
        await rig.set("nginx:1", "a", labels={"tier": "web"}, created="2026-01-01T00:00:00.123456789Z")
        await rig.set("team/app:2", "b", created="2026-02-01T00:00:00Z")
        assert await rig.names("label=tier=web") == [["docker.io/library/nginx:1"]]
        assert await rig.names("reference=nginx") == [["docker.io/library/nginx:1"]]
        assert await rig.names("reference=ngin*:*") == [["docker.io/library/nginx:1"]]
        assert await rig.names("reference=*") == [["docker.io/library/nginx:1"]]
        assert await rig.names("since=nginx:1") == [["docker.io/library/team/app:2"]]
        assert await rig.names("before=library/team/app:2") == [["docker.io/library/nginx:1"]]
        assert await rig.names("until=2026-01-15T00:00:00Z") == [["docker.io/library/nginx:1"]]
        with pytest.raises(InvalidInput):
            await rig.names("dangling=perhaps")
        with pytest.raises(NotFound):
            await rig.names("since=absent")

    with_api(scenario)


def test_images_of_services_are_listed_by_digest() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
        image = await rig.set("web:1", "a")
        other = digest_of(b"elsewhere")
        held = NodeImages(node_id="node1", digests=[image.digest, other, digest_of(b"removed")])
        await api.store.commit([put(kinds.NODE_IMAGES, "node1", held)])
        spec = spec_of("db", image=f"registry:5000/db:1@{other}")
        await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
        found = (await rig.handler.list(ListImagesRequest(), ADMIN)).images
        assert [(list(each.names), list(each.node_ids)) for each in found] == [
            (["docker.io/library/web:1"], ["node1"]),
            ([f"registry:5000/db@{other}"], ["node1"]),
        ]

    with_api(scenario)


def test_bytes_that_are_not_there_get_no_name() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
        rig.contents.missing.add(image_of("", "a").digest)
        with pytest.raises(NotFound, match="not in the cluster's image repository"):
            await rig.set("web:1", "a")
        assert not api.store.tables.images
        assert not [each for each in api.store.tables.names if each.startswith("image/")]

    with_api(scenario)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda image: setattr(image, "name", "nginx:1"), "image.name"),
        (lambda image: setattr(image, "name", "docker.io/library/nginx"), "image.name"),
        (lambda image: setattr(image, "digest", "sha256:1"), "image.digest"),
        (lambda image: image.ClearField("variants"), "image.variants"),
        (lambda image: setattr(image.variants[0], "config", b"{}"), r"image.variants\[0\].config"),
        (lambda image: setattr(image.variants[0], "config", bytes(1_000_001)), "too large"),
        (lambda image: image.variants[0].ClearField("layer_bytes"), "layers"),
    ],
)
def test_records_are_checked(change: Callable[[Image], object], fault: str) -> None:
    async def scenario(api: Api) -> None:
        image = image_of("web:1", "a")
        change(image)
        with pytest.raises(InvalidInput, match=fault):
            await Rig(api).handler.set(SetImageRequest(image=image), ADMIN)

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

    async def has(self, digest: str) -> bool:
        found = digest in self.digests
        await self._pause()
        return found

    async def forget(self, digest: str) -> None:
        await self._pause()
        self.digests.discard(digest)
        await self._pause()

    async def _pause(self) -> None:
        for _ in range(self._chance.randrange(8)):
            await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_has_a_name_has_its_bytes(seed: int) -> None:
    async def run() -> None:
        chance = Random(seed)
        contents = SlowContents(chance)
        async with two_managers() as managers:
            handlers = [ImageHandler(store=each.store, contents=contents, now_ms=lambda: 1) for each in managers]

            async def name_or_remove() -> None:
                for _ in range(15):
                    handler, name, text = chance.choice(handlers), chance.choice(("a:1", "b:1")), chance.choice("xy")
                    with suppress(NotFound, Conflict, Refused):
                        if chance.random() < 0.5:
                            image = image_of(name, text)
                            contents.digests.add(image.digest)
                            await handler.set(SetImageRequest(image=image), ADMIN)
                        elif chance.random() < 0.7:
                            await handler.remove(RemoveImageRequest(image=name), ADMIN)
                        else:
                            await handler.prune(PruneImagesRequest(), ADMIN)

            await asyncio.gather(*(name_or_remove() for _ in range(4)))
            named = {each.digest for each in managers[0].store.tables.images.values()}
            assert named <= contents.digests

    asyncio.run(run())


def test_a_removal_that_was_broken_off_is_no_obstacle_for_ever() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
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


def test_a_registry_that_is_away_keeps_no_name_from_being_removed() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
        await rig.set("web:1", "a")
        rig.contents.fails = True
        assert (await rig.remove("web:1"))[0] == ["web:1"]
        assert await rig.names() == []

    with_api(scenario)


def test_an_image_without_a_name_that_has_one_keeps_it() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
        await rig.set("web:1", "a")
        assert (await rig.set("", "a")).name == "docker.io/library/web:1"
        await rig.set("", "b")
        assert await rig.names() == [[], ["docker.io/library/web:1"]]

    with_api(scenario)


def test_services_take_the_names_of_the_cluster_first() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
        image = await rig.set("web:1", "a")
        resolver = NamedImageResolver(view=api.store.tables, registries=api.images)
        found = await resolver.resolve("web:1")
        assert found.reference_with_digest == f"docker.io/library/web:1@{image.digest}"
        assert found.platforms == (Platform("linux", "amd64"),)
        other = await resolver.resolve("registry:5000/hello:1")
        assert other == await api.images.resolve("registry:5000/hello:1")

    with_api(scenario)


def test_moments_of_filters() -> None:
    assert moment_ms("10m", 1_000_000) == 400_000
    assert moment_ms("5", 0) == 5000
    assert moment_ms("1970-01-01T00:00:01", 0) == 1000
    with pytest.raises(InvalidInput, match="must be a duration"):
        moment_ms("soon", 0)
