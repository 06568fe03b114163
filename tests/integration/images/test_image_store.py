"""The store over time: collected when the disk runs short, clean after a crash, other sources than its own registry."""

import asyncio
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest

from agent.images.content_store import ContentStore
from agent.images.garbage_collection import ImageGcPolicy
from agent.images.image_store import ImageStore
from cli.images.pack import PackedLayer, write_archive
from cli.images.push import push
from shoal.distribution.digests import digest_of
from shoal.distribution.registries import Registries
from shoal.errors import Exhausted, InvalidInput, NotFound
from shoal.images.archive import open_source
from tests.integration.images.rig import AMD64, QUICK, entry, ignore, image_of, layer_of, settings, store_in, tar_of
from tests.integration.registry_fixture import running_registry
from tests.ports import free_port

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COLLECTION_POINTS = ("agent.collect.image-forgotten", "agent.collect.layer-aside")
ALWAYS_SHORT = ImageGcPolicy(low_fraction=1.1, grace_seconds=0.0)
SHARED = layer_of(entry("shared", b"shared"))


def archive_of(path: Path, content: bytes) -> Path:
    """An image of a layer that all have and one of its own."""
    write_archive(path, [image_of(SHARED, layer_of(entry("own", content)))], tag="1")
    return path


def test_unused_images_and_their_own_layers_are_collected(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_registry(tmp_path / "registry") as server:
            images = []
            store = ImageStore(tmp_path / "images", Registries(), AMD64, retry=QUICK, gc_policy=ALWAYS_SHORT)
            for name in ("kept", "gone"):
                reference = f"127.0.0.1:{server.port}/{name}:1"
                pushed = await push(
                    archive_of(tmp_path / f"{name}.tar", name.encode()), reference, Registries(), ignore
                )
                images.append(await store.ensure(pushed.reference, ignore))
            kept, gone = images
            await store.collect_garbage(frozenset({kept.digest}))
            assert all(layer.is_dir() for layer in kept.layers)
            assert not gone.layers[0].exists()
            assert await store.ensure(kept.reference, ignore) == kept
            assert (await store.ensure(gone.reference, ignore)).layers[0].is_dir()
            await store.aclose()

    asyncio.run(run())


def test_layers_of_zstd_are_pulled_as_others_are(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_registry(tmp_path / "registry") as server:
            content = tar_of([entry("own", b"of zstd")])
            layers = [SHARED, PackedLayer(zstd.compress(content), digest_of(content))]
            write_archive(tmp_path / "z.tar", [image_of(*layers)], tag="1")
            reference = f"127.0.0.1:{server.port}/z:1"
            await push(tmp_path / "z.tar", reference, Registries(), ignore)
            store = store_in(tmp_path / "images", Registries())
            image = await store.ensure(reference, ignore)
            assert (image.layers[0] / "own").read_bytes() == b"of zstd"
            await store.aclose()

    asyncio.run(run())


def test_a_full_disk_does_not_hinder_what_makes_room(tmp_path: Path) -> None:
    async def run(disk: Path) -> None:
        async with running_registry(tmp_path / "registry") as server:
            policy = ImageGcPolicy(low_fraction=0.15, grace_seconds=0.0)
            store = ImageStore(
                disk, Registries(), AMD64, retry=QUICK, gc_policy=policy, reserve_bytes=0, fresh_seconds=0
            )
            images = []
            for name in ("old", "new"):
                archive, reference = tmp_path / f"{name}.tar", f"127.0.0.1:{server.port}/{name}:1"
                await push(archive_of(archive, os.urandom(1 << 20)), reference, Registries(), ignore)
                images.append(await store.ensure(reference, ignore))
            await store.collect_garbage(frozenset())
            assert all(image.layers[0].is_dir() for image in images), "there is room"
            fill(disk)
            await store.collect_garbage(frozenset({images[1].digest}))
            assert not images[0].layers[0].exists() and images[1].layers[0].is_dir()
            assert not list((disk / "temporary").iterdir())
            (disk / "filling").unlink()
            again = store_in(disk, Registries())
            assert (await again.ensure(images[0].reference, ignore)).layers[0].is_dir()
            await again.aclose()
            await store.aclose()

    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)], check=True)
    try:
        asyncio.run(run(disk))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_beginnings_of_other_downloads_give_way_and_a_refused_pull_goes_on_once_there_is_room(tmp_path: Path) -> None:
    async def run(disk: Path) -> None:
        async with running_registry(tmp_path / "registry") as server:
            reference = f"127.0.0.1:{server.port}/a:1"
            await push(archive_of(tmp_path / "a.tar", os.urandom(1 << 20)), reference, Registries(), ignore)
            store = store_in(disk, Registries())
            abandoned = ContentStore(disk).partial("elsewhere", "sha256:1", "sha256:2")
            abandoned.write_bytes(bytes(4 << 20))
            (disk / "filling").write_bytes(bytes((1 << 20) + (1 << 19)))
            assert (await store.ensure(reference, ignore)).layers[0].is_dir()
            lacking = [store.lacks_space]
            assert not abandoned.exists()
            await push(
                archive_of(tmp_path / "b.tar", os.urandom(1 << 20)), f"{reference[:-3]}b:1", Registries(), ignore
            )
            fill(disk)
            with pytest.raises(Exhausted, match=f"free disk space on the file system of {disk}"):
                await store.ensure(f"{reference[:-3]}b:1", ignore)
            lacking.append(store.lacks_space)
            (disk / "filling").unlink()
            assert [*lacking, store.lacks_space] == [False, True, False]
            assert (await store.ensure(f"{reference[:-3]}b:1", ignore)).layers[0].is_dir()
            await store.aclose()

    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)], check=True)
    try:
        asyncio.run(run(disk))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def fill(disk: Path) -> None:
    """To the last byte."""
    with (disk / "filling").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_nothing_is_collected_while_there_is_room(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_registry(tmp_path / "registry") as server:
            roomy = ImageGcPolicy(low_fraction=0.0, grace_seconds=0.0)
            store = ImageStore(tmp_path / "images", Registries(), AMD64, retry=QUICK, gc_policy=roomy)
            reference = f"127.0.0.1:{server.port}/a:1"
            await push(archive_of(tmp_path / "a.tar", b"a"), reference, Registries(), ignore)
            image = await store.ensure(reference, ignore)
            await store.collect_garbage(frozenset())
            assert all(layer.is_dir() for layer in image.layers)
            await store.aclose()

    asyncio.run(run())


def test_what_a_crash_left_is_removed_or_pulled_again(tmp_path: Path) -> None:
    async def run() -> None:
        images = tmp_path / "images"
        async with running_registry(tmp_path / "registry") as server:
            reference = f"127.0.0.1:{server.port}/a:1"
            pushed = await push(archive_of(tmp_path / "a.tar", b"a"), reference, Registries(), ignore)
            store = store_in(images, Registries())
            image = await store.ensure(pushed.reference, ignore)
            await store.aclose()
            (images / "temporary/half-made").mkdir()
            image.layers[0].rename(images / "temporary/moved")
            again = store_in(images, Registries())
            assert not list((images / "temporary").iterdir())
            assert (await again.ensure(pushed.reference, ignore)).layers[0].is_dir()
            await again.aclose()
            (images / "references.json").write_text("{broken")
            third = store_in(images, Registries())
            assert await third.ensure(pushed.reference, ignore) == image
            await third.aclose()

    asyncio.run(run())


def test_a_layer_that_is_deleted_behind_its_back_is_pulled_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_registry(tmp_path / "registry") as server:
            reference = f"127.0.0.1:{server.port}/a:1"
            pushed = await push(archive_of(tmp_path / "a.tar", b"a"), reference, Registries(), ignore)
            store = store_in(tmp_path / "images", Registries())
            for name in (reference, pushed.reference):
                image = await store.ensure(name, ignore)
                shutil.rmtree(image.layers[0])
                assert await store.ensure(name, ignore) == image
                assert image.layers[0].is_dir()
            await store.aclose()

    asyncio.run(run())


PROGRAM = """
import asyncio, sys
from pathlib import Path
from tests.integration.images.test_image_store import ALWAYS_SHORT, AMD64, ImageStore, Registries, ignore

async def main():
    store = ImageStore(Path(sys.argv[1]), Registries(), AMD64, gc_policy=ALWAYS_SHORT)
    await (store.ensure(sys.argv[2], ignore) if sys.argv[2:] else store.collect_garbage(frozenset()))

asyncio.run(main())
"""


async def killed_at(point: str, images: Path, *reference: str) -> None:
    """A process that pulls an image, or without a reference collects all, and dies."""
    command = [sys.executable, "-c", PROGRAM, str(images), *reference]
    environment = {**os.environ, "SHOAL_FAULTS": f"{point}=kill", "PYTHONPATH": str(Path.cwd())}
    killed = await asyncio.to_thread(subprocess.run, command, env=environment, timeout=60, check=False)
    assert killed.returncode == -9


@pytest.mark.parametrize("point", COLLECTION_POINTS)
def test_killed_while_images_are_collected(point: str, tmp_path: Path) -> None:
    """What is left of an image is removed at the next start, and the image is pulled again."""

    async def run() -> None:
        async with running_registry(tmp_path / "registry") as server:
            reference = f"127.0.0.1:{server.port}/a:1"
            await push(archive_of(tmp_path / "a.tar", b"a"), reference, Registries(), ignore)
            store = store_in(tmp_path / "images", Registries())
            image = await store.ensure(reference, ignore)
            await store.aclose()
            await killed_at(point, tmp_path / "images")
            again = store_in(tmp_path / "images", Registries())
            assert not list((tmp_path / "images/temporary").iterdir())
            assert await again.ensure(reference, ignore) == image
            assert all(layer.is_dir() for layer in image.layers)
            await again.aclose()

    asyncio.run(run())


def test_killed_before_the_blob_of_a_layer_is_deleted(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_registry(tmp_path / "registry") as server:
            reference = f"127.0.0.1:{server.port}/a:1"
            await push(archive_of(tmp_path / "a.tar", b"a"), reference, Registries(), ignore)
            await killed_at("agent.unpack.in-place", tmp_path / "images", reference)
            assert list((tmp_path / "images/partial").iterdir())
            store = store_in(tmp_path / "images", Registries())
            await store.ensure(reference, ignore)
            assert not list((tmp_path / "images/partial").iterdir())
            await store.aclose()

    asyncio.run(run())


def test_the_next_endpoint_answers_when_one_is_down(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_registry(tmp_path / "registry") as server:
            known = settings("registry.example", f"http://127.0.0.1:{free_port()}", server.endpoint)
            archive = archive_of(tmp_path / "a.tar", b"a")
            pushed = await push(archive, "registry.example/a:1", known, ignore, policy=QUICK)
            store = store_in(tmp_path / "images", known)
            assert (await store.ensure(pushed.reference, ignore)).digest == pushed.digest
            await store.aclose()

    asyncio.run(run())


def test_a_mirror_need_not_have_every_image(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_registry(tmp_path / "mirror") as mirror, running_registry(tmp_path / "origin") as origin:
            pushed = {
                name: await push(
                    archive_of(tmp_path / name, name.encode()), f"registry.example/{name}:1", at, ignore, policy=QUICK
                )
                for name, at in (
                    ("mirrored", settings("registry.example", mirror.endpoint)),
                    ("other", settings("registry.example", origin.endpoint)),
                )
            }
            store = store_in(tmp_path / "images", settings("registry.example", mirror.endpoint, origin.endpoint))
            for each in pushed.values():
                assert (await store.ensure(each.reference, ignore)).digest == each.digest
            with pytest.raises(NotFound):
                await store.ensure("registry.example/none@sha256:" + "0" * 64, ignore)
            await store.aclose()

    asyncio.run(run())


def docker_archive(path: Path) -> Path:
    """What `docker save` writes."""
    layer = tar_of([entry("from-docker", b"x")])
    diff_id = layer_of(entry("from-docker", b"x")).diff_id
    config = {"os": "linux", "architecture": "amd64", "config": {}, "rootfs": {"type": "layers", "diff_ids": [diff_id]}}
    listing = [{"Config": "config.json", "RepoTags": ["a:1"], "Layers": ["l/layer.tar"]}]
    files = {
        "config.json": json.dumps(config).encode(),
        "l/layer.tar": layer,
        "manifest.json": json.dumps(listing).encode(),
    }
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def layout_directory(path: Path, archive: Path) -> Path:
    """An archive unpacked."""
    path.mkdir()
    subprocess.run(["tar", "-xf", str(archive), "-C", str(path)], check=True)
    return path


def test_docker_archives_and_layout_directories_are_pushed(tmp_path: Path) -> None:
    async def run() -> None:
        layout = layout_directory(tmp_path / "layout", archive_of(tmp_path / "a.tar", b"a"))
        async with running_registry(tmp_path / "registry") as server:
            store = store_in(tmp_path / "images", Registries())
            sources = {"own": layout, "from-docker": docker_archive(tmp_path / "docker.tar")}
            for name, source in sources.items():
                reference = f"127.0.0.1:{server.port}/{name}:1"
                await push(source, reference, Registries(), ignore)
                assert (await store.ensure(reference, ignore)).layers[0].joinpath(name).exists()
            await store.aclose()

    asyncio.run(run())


def test_what_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").mkdir()
    for name in ("text", "empty"):
        with pytest.raises(InvalidInput, match=name), open_source(tmp_path / name):
            pass
    with open_source(archive_of(tmp_path / "a.tar", b"a")) as source, pytest.raises(NotFound, match="missing"):
        source.open_blob("sha256:" + "0" * 64)
