"""Archives of images: saved from the cluster's image repository, loaded and imported into it."""

import asyncio
import gzip
import io
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path

from cli.images.pack import PackedLayer, write_archive
from cli.images.push import push
from shoal.distribution.digests import digest_of
from shoal.distribution.registries import Registries
from shoal.image_reference import parse
from shoal.images.archive import open_source, open_stream
from shoal.images.archive_writer import SavedImage
from shoal.images.image_repository import ImageRepository
from shoal.images.loading import load
from shoal.images.tar_import import ImportSettings, imported_image
from tests.integration.images.image_repository_rig import (
    docker_archive,
    nothing,
    pull,
    rig,
    save,
    two_platforms,
)
from tests.integration.images.rig import (
    AMD64,
    entry,
    ignore,
    image_of,
    layer_of,
    small_archive,
    store_in,
    tar_of,
)

CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_saved_images_load_with_their_names_and_digests(tmp_path: Path) -> None:
    async def run() -> None:
        two_platforms(tmp_path / "two.tar")
        async with rig(tmp_path) as (port, cluster, distribution, repository):
            await push(tmp_path / "two.tar", f"127.0.0.1:{port}/two:1", Registries(), ignore)
            await push(small_archive(tmp_path), f"127.0.0.1:{port}/small:1", Registries(), ignore)
            two = await pull(distribution, repository, f"127.0.0.1:{port}/two:1")
            small = await pull(distribution, repository, f"127.0.0.1:{port}/small:1")
            requested = [SavedImage(two.digest, (parse("two:1"), parse("b:2"))), SavedImage(small.digest)]
            await save(repository, requested, tmp_path / "saved.tar")
            await save(repository, requested, tmp_path / "again.tar")
            assert (tmp_path / "saved.tar").read_bytes() == (tmp_path / "again.tar").read_bytes()
            with tarfile.open(tmp_path / "saved.tar") as tar:
                listed = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
                for each in listed:
                    assert all(tar.getmember(name) for name in (each["Config"], *each["Layers"]))
            assert [each["RepoTags"] for each in listed] == [["two:1", "b:2"], None]
            elsewhere = ImageRepository(distribution, f"127.0.0.1:{cluster}/other/pool")
            with open_source(tmp_path / "saved.tar") as source:
                loaded = await load(source, elsewhere, nothing)
            assert {(each.name, each.digest) for each in loaded} == {
                ("docker.io/library/two:1", two.digest),
                ("docker.io/library/b:2", two.digest),
                ("", small.digest),
            }
            assert await elsewhere.has(two.digest)

    asyncio.run(run())


def test_docker_archives_load_plain_and_compressed(tmp_path: Path) -> None:
    async def run() -> None:
        from backports import zstd

        layers = [tar_of([entry("a", b"a" * 5000)]), tar_of([entry("b")])]
        config = docker_archive(tmp_path / "d.tar", layers, ["web:1", "other:2"])
        plain = (tmp_path / "d.tar").read_bytes()
        (tmp_path / "d.tar.gz").write_bytes(gzip.compress(plain))
        (tmp_path / "d.tar.zst").write_bytes(zstd.compress(plain))
        async with rig(tmp_path) as (_, cluster, _, repository):
            digests = set()
            for name in ("d.tar", "d.tar.gz", "d.tar.zst"):
                with open_source(tmp_path / name) as source:
                    loaded = await load(source, repository, nothing)
                assert [each.name for each in loaded] == ["docker.io/library/web:1", "docker.io/library/other:2"]
                assert {each.variants[0].config_digest for each in loaded} == {config}
                digests |= {each.digest for each in loaded}
            assert len(digests) == 1
            with open_stream(io.BytesIO(gzip.compress(plain)), "-") as source:
                assert (await load(source, repository, nothing, compression="zstd"))[0].digest not in digests
            store = store_in(tmp_path / "images", Registries())
            found = await store.ensure(f"127.0.0.1:{cluster}/shoal/pool@{digests.pop()}", ignore)
            assert {path.name for layer in found.layers for path in layer.iterdir()} == {"a", "b"}
            await store.aclose()

    asyncio.run(run())


def test_a_tar_becomes_an_image_of_one_layer(tmp_path: Path) -> None:
    async def run() -> None:
        content = tar_of([entry("etc/os-release", b"ID=mine\n")])
        (tmp_path / "root.tar").write_bytes(content)
        requested = ImportSettings(AMD64, CREATED, "docker.io/library/mine:1", ['CMD ["/bin/sh"]'], "from a tar")
        async with rig(tmp_path) as (_, cluster, _, repository):
            with (tmp_path / "root.tar").open("rb") as file:
                (image,) = await load(imported_image(file, "root.tar", requested), repository, nothing)
            config = json.loads(image.variants[0].config)
            assert (image.name, config["config"]) == ("docker.io/library/mine:1", {"Cmd": ["/bin/sh"]})
            assert config["rootfs"]["diff_ids"] == [digest_of(content)]
            assert config["history"] == [{"comment": "from a tar", "created": "2026-01-02T03:04:05Z"}]
            store = store_in(tmp_path / "images", Registries())
            found = await store.ensure(f"127.0.0.1:{cluster}/shoal/pool@{image.digest}", ignore)
            assert (found.layers[0] / "etc/os-release").read_text() == "ID=mine\n"
            await store.aclose()

    asyncio.run(run())


def test_a_layer_that_comes_twice_is_saved_once(tmp_path: Path) -> None:
    async def run() -> None:
        layer: PackedLayer = layer_of(entry("a"))
        write_archive(tmp_path / "twice.tar", [image_of(layer, layer)], tag="1")
        async with rig(tmp_path) as (port, _, distribution, repository):
            await push(tmp_path / "twice.tar", f"127.0.0.1:{port}/twice:1", Registries(), ignore)
            image = await pull(distribution, repository, f"127.0.0.1:{port}/twice:1")
            await save(repository, [SavedImage(image.digest, (parse("twice:1"),))], tmp_path / "saved.tar")
            with tarfile.open(tmp_path / "saved.tar") as tar:
                names = tar.getnames()
            assert len(names) == len(set(names))
            with open_source(tmp_path / "saved.tar") as source:
                assert [each.digest for each in await load(source, repository, nothing)] == [image.digest]

    asyncio.run(run())
