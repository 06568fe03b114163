"""Push, resolve and pull with a real docker-registry: plain, with passwords and TLS, with tokens, when things break."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.images.content_store import ContentStore
from cli.images.examples import build_hello
from cli.images.inspect import inspect
from cli.images.pack import write_archive
from cli.images.push import push
from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import Descriptor, Platform
from shoal.distribution.registries import Registries
from shoal.distribution.registry_client import Distribution
from shoal.distribution.resolve import RegistryImageResolver
from shoal.distribution.uploads import Uploader
from shoal.errors import Exhausted, InvalidInput, NotFound, Unavailable
from shoal.image_reference import parse
from shoal.images.archive import open_source
from tests.integration.images.rig import (
    AMD64,
    QUICK,
    entry,
    ignore,
    image_of,
    layer_of,
    remainders,
    small_archive,
    store_in,
)
from tests.integration.registry_fixture import (
    running_registry,
)
from tests.ports import free_port

ARM64 = Platform("linux", "arm64", "v8")
HELLO_FILES = Path(__file__).parents[3] / "deploy/images/hello"


def test_push_resolve_and_pull_the_hello_image(tmp_path: Path) -> None:
    async def run() -> None:
        archive = build_hello("1", tmp_path / "out", files=HELLO_FILES)
        again = build_hello("1", tmp_path / "again", files=HELLO_FILES)
        assert archive.read_bytes() == again.read_bytes()
        async with running_registry(tmp_path / "registry") as server:
            reference = f"127.0.0.1:{server.port}/team/hello:1"
            pushed = await push(archive, reference, Registries(), ignore)
            assert (pushed.blobs_sent, pushed.blobs_existing) == (3, 0)
            assert (await push(archive, reference, Registries(), ignore)).blobs_sent == 0
            async with RegistryImageResolver(Registries()) as resolver:
                resolved = await resolver.resolve(reference)
            assert resolved.reference_with_digest == pushed.reference == f"{reference}@{pushed.digest}"
            assert (await inspect(reference, Registries())).config.settings["Cmd"] == ["/entrypoint.sh"]
            store = store_in(tmp_path / "images", Registries(), resolved.platforms[0])
            lines: list[str] = []
            image = await store.ensure(resolved.reference_with_digest, lines.append)
            await store.aclose()
        assert image.digest == pushed.digest
        assert image.config.command == ("/entrypoint.sh",)
        assert lines[-1].startswith("pulled 2 of 2 layers")
        assert (image.layers[0] / "etc/hello-version").read_text() == "1\n"
        assert str((image.layers[1] / "bin/httpd").readlink()) == "busybox"

    asyncio.run(run())


def test_an_image_that_is_here_needs_no_registry(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_registry(tmp_path / "registry") as server:
            reference = f"127.0.0.1:{server.port}/small:1"
            pushed = await push(small_archive(tmp_path), reference, Registries(), ignore)
            store = store_in(tmp_path / "images", Registries())
            first = await store.ensure(reference, ignore)
            await store.aclose()
        later = store_in(tmp_path / "images", Registries())
        assert await later.ensure(reference, ignore) == first
        assert (await later.ensure(f"127.0.0.1:{server.port}/other@{pushed.digest}", ignore)).layers == first.layers
        with pytest.raises(Unavailable, match=f"registry 127.0.0.1:{server.port} is unreachable"):
            await later.ensure(reference + "x", ignore)
        await later.aclose()

    asyncio.run(run())


def test_a_tag_that_moved_is_pulled_again(tmp_path: Path) -> None:
    async def run() -> None:
        now = 0.0
        async with running_registry(tmp_path / "registry") as server:
            reference = f"127.0.0.1:{server.port}/small:1"
            await push(small_archive(tmp_path), reference, Registries(), ignore)
            store = store_in(tmp_path / "images", Registries())
            store._clock = lambda: now
            first = await store.ensure(reference, ignore)
            moved = await push(small_archive(tmp_path, content=b"other"), reference, Registries(), ignore)
            assert await store.ensure(reference, ignore) == first
            now = 3600.0
            assert (await store.ensure(reference, ignore)).digest == moved.digest
            await store.aclose()

    asyncio.run(run())


def test_concurrent_calls_share_one_pull(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_registry(tmp_path / "registry") as server:
            reference = f"127.0.0.1:{server.port}/small:1"
            await push(small_archive(tmp_path), reference, Registries(), ignore)
            store = store_in(tmp_path / "images", Registries())
            lines: list[list[str]] = [[] for _ in range(20)]
            images = await asyncio.gather(*(store.ensure(reference, each.append) for each in lines))
            assert len(set(map(id, images))) == 1
            assert all(each == lines[0] for each in lines)
            await store.aclose()

    asyncio.run(run())


def test_a_cancelled_pull_leaves_nothing_and_can_be_taken_up(tmp_path: Path) -> None:
    async def run() -> None:
        archive = big_archive(tmp_path / "big.tar", 20_000_000)
        async with running_registry(tmp_path / "registry") as server:
            reference = f"127.0.0.1:{server.port}/big:1"
            await push(archive, reference, Registries(), ignore)
            store = store_in(tmp_path / "images", Registries())
            begun = asyncio.Event()

            def notice(line: str) -> None:
                if line.startswith(("pulling 1", "unpacking")):
                    begun.set()

            pulling = asyncio.create_task(store.ensure(reference, notice))
            await begun.wait()
            pulling.cancel()
            await asyncio.wait([pulling])
            assert pulling.cancelled()
            assert not remainders(tmp_path / "images")
            assert (await store.ensure(reference, ignore)).layers[0].is_dir()
            await store.aclose()

    asyncio.run(run())


def test_each_platform_gets_its_own_manifest(tmp_path: Path) -> None:
    async def run() -> None:
        archive = tmp_path / "two.tar"
        images = [image_of(layer_of(entry("which", str(each).encode())), platform=each) for each in (AMD64, ARM64)]
        top = write_archive(archive, images, tag="1")
        async with running_registry(tmp_path / "registry") as server:
            reference = f"127.0.0.1:{server.port}/two:1"
            assert (await push(archive, reference, Registries(), ignore)).digest == top
            async with RegistryImageResolver(Registries()) as resolver:
                resolved = await resolver.resolve(reference)
            assert resolved.platforms == (AMD64, ARM64)
            for requested, found in ((AMD64, "linux/amd64"), (Platform("linux", "arm64"), "linux/arm64/v8")):
                store = store_in(tmp_path / found.replace("/", "-"), Registries(), requested)
                image = await store.ensure(resolved.reference_with_digest, ignore)
                assert (image.layers[0] / "which").read_text() == found
                await store.aclose()
            store = store_in(tmp_path / "riscv", Registries(), Platform("linux", "riscv64"))
            with pytest.raises(
                NotFound, match="no manifest for platform linux/riscv64; available: linux/amd64, linux/arm64"
            ):
                await store.ensure(reference, ignore)
            await store.aclose()

    asyncio.run(run())


@asynccontextmanager
async def cutting_proxy(port: int, *, cut_after: int, cuts: int) -> AsyncGenerator[tuple[int, list[int]]]:
    """Cuts the first `cuts` connections whose answers grow past a size; yields its port and what each gave."""
    given: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
        number = len(given)
        given.append(0)

        async def up() -> None:
            while chunk := await reader.read(65536):
                upstream_writer.write(chunk)
            upstream_writer.close()

        async def down() -> None:
            while chunk := await upstream_reader.read(65536):
                if given[number] > cut_after and sum(each > cut_after for each in given) <= cuts:
                    break
                given[number] += len(chunk)
                writer.write(chunk)
                await writer.drain()
            writer.transport.abort()

        await asyncio.gather(up(), down(), return_exceptions=True)
        upstream_writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], given


def big_archive(path: Path, size: int) -> Path:
    """An archive whose one layer does not compress."""
    write_archive(path, [image_of(layer_of(entry("big", os.urandom(size))))], tag="1")
    return path


def test_a_pull_goes_on_where_the_connection_broke(tmp_path: Path) -> None:
    async def run() -> None:
        archive = big_archive(tmp_path / "big.tar", 8_000_000)
        async with (
            running_registry(tmp_path / "registry") as server,
            cutting_proxy(server.port, cut_after=2_000_000, cuts=2) as (port, given),
        ):
            pushed = await push(archive, f"127.0.0.1:{server.port}/big:1", Registries(), ignore)
            store = store_in(tmp_path / "images", Registries())
            image = await store.ensure(f"127.0.0.1:{port}/big:1", ignore)
            await store.aclose()
        assert image.digest == pushed.digest
        assert len(given) >= 3
        assert sum(given) < 9_000_000  # resumed, not fetched again

    asyncio.run(run())


def test_a_pull_goes_on_after_a_restart(tmp_path: Path) -> None:
    async def run() -> None:
        archive = big_archive(tmp_path / "big.tar", 8_000_000)
        async with running_registry(tmp_path / "registry") as server:
            await push(archive, f"127.0.0.1:{server.port}/big:1", Registries(), ignore)
            known = f"127.0.0.1:{server.port}/big:1"
            store = store_in(tmp_path / "images", Registries())
            with open_source(archive) as source:
                manifest = json.loads(source.manifest(source.images[0].digest))
                layer = manifest["layers"][0]["digest"]
                with source.open_blob(manifest["config"]["digest"]) as config:
                    (diff_id,) = json.loads(config.read())["rootfs"]["diff_ids"]
                with source.open_blob(layer) as blob:
                    beginning = blob.read(7_000_000)
            partial = ContentStore(tmp_path / "images").partial(f"127.0.0.1:{server.port}", layer, diff_id)
            partial.write_bytes(beginning)
            lines: list[str] = []
            await store.ensure(known, lines.append)
            assert any("7.0 of 8.0 MB" in line for line in lines)
            assert not list((tmp_path / "images/partial").iterdir())
            await store.aclose()

    asyncio.run(run())


def blob_files(registry: Path) -> Iterator[Path]:
    """What the registry keeps of all blobs, the largest first."""
    found = (registry / "data/docker/registry/v2/blobs").glob("*/*/*/data")
    return iter(sorted(found, key=lambda path: path.stat().st_size, reverse=True))


def test_corrupt_content_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        archive = big_archive(tmp_path / "big.tar", 300_000)
        async with running_registry(tmp_path / "registry") as server:
            reference = f"127.0.0.1:{server.port}/big:1"
            await push(archive, reference, Registries(), ignore)
            layer = next(blob_files(tmp_path / "registry"))
            content = bytearray(layer.read_bytes())
            content[1000] ^= 1
            layer.write_bytes(content)
            store = store_in(tmp_path / "images", Registries())
            with pytest.raises(InvalidInput, match="corrupt"):
                await store.ensure(reference, ignore)
            assert not remainders(tmp_path / "images")
            assert not list((tmp_path / "images/partial").iterdir())
            content[1000] ^= 1
            layer.write_bytes(content)
            await store.ensure(reference, ignore)
            await store.aclose()

    asyncio.run(run())


def test_a_full_disk_leaves_nothing_half_made(tmp_path: Path) -> None:
    async def run(disk: Path) -> None:
        async with running_registry(tmp_path / "registry") as server:
            for name, size in (("download", 12_000_000), ("unpack", 5_000_000)):
                reference = f"127.0.0.1:{server.port}/{name}:1"
                await push(big_archive(tmp_path / f"{name}.tar", size), reference, Registries(), ignore)
                store = store_in(disk, Registries())
                with pytest.raises(Exhausted, match="image store"):
                    await store.ensure(reference, ignore)
                assert not remainders(disk)
                await store.aclose()
            shutil.rmtree(disk / "partial")
            small = f"127.0.0.1:{server.port}/small:1"
            await push(small_archive(tmp_path), small, Registries(), ignore)
            store = store_in(disk, Registries())
            assert (await store.ensure(small, ignore)).layers
            await store.aclose()

    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], check=True)
    try:
        asyncio.run(run(disk))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_errors_name_what_is_wrong(tmp_path: Path) -> None:
    async def run() -> None:
        port = free_port()
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port} is unreachable"):
            async with RegistryImageResolver(Registries(), policy=QUICK) as resolver:
                await resolver.resolve(f"127.0.0.1:{port}/a:1")
        async with running_registry(tmp_path / "registry") as server, RegistryImageResolver(Registries()) as resolver:
            with pytest.raises(NotFound, match=rf"127.0.0.1:{server.port}/absent:7 not found in registry"):
                await resolver.resolve(f"127.0.0.1:{server.port}/absent:7")
            with pytest.raises(NotFound, match="no such file"):
                await push(tmp_path / "none.tar", f"127.0.0.1:{server.port}/a:1", Registries(), ignore)

    asyncio.run(run())


def test_large_blobs_go_up_in_pieces_and_are_mounted_elsewhere(tmp_path: Path) -> None:
    async def run() -> None:
        archive = big_archive(tmp_path / "big.tar", 300_000)
        async with running_registry(tmp_path / "registry") as server, Distribution(Registries()) as distribution:
            first = distribution.repository(parse(f"127.0.0.1:{server.port}/first:1"))
            second = distribution.repository(parse(f"127.0.0.1:{server.port}/second:1"))
            with open_source(archive) as source:
                layer = json.loads(source.manifest(source.images[0].digest))["layers"][0]
                with source.open_blob(layer["digest"]) as blob:
                    content = blob.read()

            async def read(offset: int) -> AsyncGenerator[bytes]:
                for at in range(offset, len(content), 10_000):
                    yield content[at : at + 10_000]

            descriptor = Descriptor("", digest_of(content), len(content))
            assert await Uploader(first, chunk_bytes=70_000).put_blob(descriptor, read)
            assert await first.blob(descriptor) == content
            assert not await Uploader(second).put_blob(descriptor, read, mount_from="first")
            assert await second.has_blob(descriptor.digest)

    asyncio.run(run())
