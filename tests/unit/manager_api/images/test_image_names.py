"""Names of images: set, moved and found; records are checked before."""

from collections.abc import Callable

import pytest

from manager.images.named_images import NamedImageResolver
from shoal.api.v1.engine_pb2 import (
    SetImageRequest,
)
from shoal.api.v1.standalone_pb2 import Image
from shoal.distribution.manifests import Platform
from shoal.errors import InvalidInput, NotFound
from tests.unit.manager_api.control_rig import ADMIN, Api, with_api
from tests.unit.manager_api.images.image_handler_rig import Rig, image_of


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
