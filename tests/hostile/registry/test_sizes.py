"""Registries that send too much, or lie about how much it is.

Bound: an answer that is not a layer keeps less than 16 MiB of memory; a layer is never longer on the disk than its
manifest says, begins only where there is room for it, and leaves the reserve free; of the registries that a user names,
connections of 32 are kept.
"""

import asyncio
import gzip
import os
import subprocess
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agent.images.image_store import ImageStore
from cli.images.pack import PackedImage, PackedLayer
from shoal.distribution.digests import digest_of
from shoal.distribution.registries import Registries
from shoal.distribution.registry_client import Distribution
from shoal.errors import Exhausted, InvalidInput, ShoalError, Unavailable
from shoal.image_reference import parse
from tests.hostile.registry.hostile_server import (
    Answer,
    Handler,
    Request,
    answer,
    drip,
    endless,
    head,
    refuse,
    server,
    serving,
)
from tests.hostile.registry.rig import LAYER, ONCE, known, outcome
from tests.hostile.registry.test_slow_answers import WORK, lying_about, store, under_way, until
from tests.integration.images.rig import AMD64, QUICK, entry, ignore, image_of, layer_of
from tests.ports import free_port

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MEGABYTE = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
BOMB = gzip.compress(bytes(64 << 20))
BOUND_BYTES = 16 << 20


@contextmanager
def little_memory() -> Iterator[None]:
    """Of Python's, at its highest."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < BOUND_BYTES
    finally:
        tracemalloc.stop()


LARGE: dict[str, bytes | tuple[bytes, bytes]] = {
    "a body without end": (CHUNKED, MEGABYTE),
    "a refusal without end": (CHUNKED.replace(b"200 OK", b"403 No"), MEGABYTE),
    "a failure without end": (CHUNKED.replace(b"200 OK", b"400 No"), MEGABYTE),
    "a challenge without end": (CHUNKED.replace(b"200 OK", b"401 No\r\nWWW-Authenticate: Basic"), MEGABYTE),
    "a head of many headers": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100_000,
    "a head of one header": b"HTTP/1.1 200 OK\r\nA: " + b"b" * (1 << 20) + b"\r\n\r\n",
    "a chunk's name without end": (CHUNKED, b"0" * 65536),
    "an extension without end": (CHUNKED + b"1;", b"x" * 65536),
    "trailers without end": (CHUNKED + b"0\r\n", b"A: b\r\n" * 1000),
    "an encoding": answer(BOMB, "Content-Encoding: gzip"),
    "an encoded refusal": answer(BOMB, "Content-Encoding: gzip", status="403 No"),
    "a transfer that is encoded": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + MEGABYTE,
}


def saying(case: str) -> Answer:
    """What the case has to say."""
    said = LARGE[case]
    return said if isinstance(said, bytes) else endless(*said)


@pytest.mark.parametrize("case", sorted(LARGE))
def test_answers_are_bounded_in_memory(case: str) -> None:
    async def run() -> None:
        async with server(lambda _: saying(case)) as own:
            with little_memory():
                assert isinstance(await outcome(WORK["manifest"], known(f"http://{own.where}")), ShoalError)

    asyncio.run(run())


@pytest.mark.parametrize("case", ["a body without end", "an encoding"])
def test_a_token_servers_answers_are_bounded_in_memory(case: str) -> None:
    async def run() -> None:
        async with (
            server(lambda _: saying(case)) as tokens,
            server(lambda _: refuse(f'Bearer realm="http://{tokens.where}/"')) as own,
        ):
            with little_memory():
                await outcome(WORK["manifest"], known(f"http://{own.where}"))

    asyncio.run(run())


@pytest.mark.parametrize("length", [60_000, 8_000])
@pytest.mark.parametrize("piece", ["a", "a=", 'a="', 'a="b\\"', ",", "a ", '"', "\\", "a=b,", "Basic "])
def test_a_challenge_is_read_in_a_moment(piece: str, length: int) -> None:
    async def run() -> None:
        async with server(lambda _: refuse("Bearer " + piece * (length // len(piece)))) as own:
            async with asyncio.timeout(10):
                await outcome(WORK["manifest"], known(f"http://{own.where}"))

    asyncio.run(run())


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def large_layer(size: int) -> PackedLayer:
    """A layer of one file of noise, which no compression makes smaller."""
    return layer_of(entry("noise", os.urandom(size)))


async def pulled(images: ImageStore, handler: Handler) -> tuple[ShoalError, list[Request]]:
    """Why it is not here, and what was asked for."""
    async with server(handler) as own, asyncio.timeout(60):
        with pytest.raises(ShoalError) as caught:
            await images.ensure(f"{own.where}/a:1", ignore)
    await images.aclose()
    return caught.value, own.requests


def image_and_blob(size: int) -> tuple[PackedImage, str]:
    """An image of one layer, and its digest."""
    layer = large_layer(size)
    return image_of(layer), digest_of(layer.blob)


@pytest.mark.parametrize("claimed", [12_000_000, 1 << 62])
def test_a_layer_larger_than_the_disk_is_not_begun(tmp_path: Path, claimed: int) -> None:
    image, blob = image_and_blob(2_000)
    with small_disk(tmp_path / "disk", 8) as disk:
        error, asked = asyncio.run(pulled(store(disk, QUICK), serving(lying_about(image, blob, claimed))))
    assert isinstance(error, Exhausted) and "not enough disk space in the image store" in str(error)
    assert not any(blob in each.path for each in asked)


def test_layers_are_not_begun_together_that_have_no_room_together(tmp_path: Path) -> None:
    layers = [large_layer(3_000_000) for _ in range(3)]
    with small_disk(tmp_path / "disk", 8) as disk:
        error, asked = asyncio.run(pulled(store(disk, QUICK), serving(image_of(*layers))))
    assert isinstance(error, Exhausted)
    assert not any(digest_of(layer.blob) in each.path for each in asked for layer in layers)


def test_the_reserve_stays_free(tmp_path: Path) -> None:
    image, _ = image_and_blob(4_000_000)
    with small_disk(tmp_path / "disk", 8) as disk:
        images = ImageStore(disk, Registries(), AMD64, retry=QUICK, reserve_bytes=6 << 20)
        error, _ = asyncio.run(pulled(images, serving(image)))
        assert isinstance(error, Exhausted) and "not enough disk space in the image store" in str(error)
        assert not list((disk / "partial").iterdir())


def test_the_reserve_is_checked_while_a_layer_grows(tmp_path: Path) -> None:
    """Somebody else fills the disk once the download has begun."""
    image, blob = image_and_blob(10_000_000)
    content = image.blobs[blob]

    async def paused(_: Request) -> AsyncIterator[bytes]:
        yield head(len(content)) + content[:3_000_000]
        (tmp_path / "disk/of-others").write_bytes(bytes(14 << 20))
        yield content[3_000_000:]

    with small_disk(tmp_path / "disk", 32) as disk:
        images = ImageStore(disk, Registries(), AMD64, retry=QUICK, reserve_bytes=16 << 20)
        error, _ = asyncio.run(pulled(images, serving(image, blobs={blob: paused})))
        assert isinstance(error, Exhausted) and "free space in the image store is below 16 MiB" in str(error)
        assert not list((disk / "partial").iterdir())


def test_room_is_made_for_what_was_refused(tmp_path: Path) -> None:
    """An image that nobody uses goes although the disk would not be called short without the pull."""

    async def run(disk: Path) -> None:
        old, new = image_of(large_layer(10_000_000)), image_of(large_layer(11_000_000))
        now = [0.0]
        images = ImageStore(disk, Registries(), AMD64, retry=QUICK, reserve_bytes=0, clock=lambda: now[0])
        async with server(serving(old)) as first, server(serving(new)) as second:
            await images.ensure(f"{first.where}/a:1", ignore)
            now[0] = 1000.0
            await images.collect_garbage(frozenset())
            assert list((disk / "layers").iterdir()), "nothing asks for its room yet"
            with pytest.raises(Exhausted, match="not enough disk space in the image store"):
                await images.ensure(f"{second.where}/a:1", ignore)
            await images.collect_garbage(frozenset())
            assert not list((disk / "layers").iterdir())
        await images.aclose()

    with small_disk(tmp_path / "disk", 20) as disk:
        asyncio.run(run(disk))


@pytest.mark.parametrize("difference", [-1, 1, 100_000_000])
def test_a_length_that_is_not_the_manifests_is_refused_at_once(tmp_path: Path, difference: int) -> None:
    image, blob = image_and_blob(100_000)
    wrong = {blob: lambda _: drip(head(len(image.blobs[blob]) + difference), b"x", seconds=0.1)}
    error, _ = asyncio.run(pulled(store(tmp_path / "images", QUICK), serving(image, blobs=wrong)))
    assert isinstance(error, InvalidInput) and "announced" in str(error)
    assert not list((tmp_path / "images/partial").iterdir())


def test_a_layer_without_a_length_ends_where_the_manifest_says(tmp_path: Path) -> None:
    image, blob = image_and_blob(100_000)
    error, _ = asyncio.run(
        pulled(store(tmp_path / "images", QUICK), serving(image, blobs={blob: lambda _: endless(CHUNKED, MEGABYTE)}))
    )
    assert isinstance(error, InvalidInput) and "longer than" in str(error)
    assert not list((tmp_path / "images/partial").iterdir())


@pytest.mark.parametrize(
    "said",
    [
        "bytes 0-99/100",
        "bytes 50-40/100",
        "bytes 50-99/99",
        "bytes 50-98/100",
        "bytes 50-99/1000",
        "bytes */100",
        "bytes 50-",
        "lines 50-99/100",
        "bytes " + "9" * 5000 + "-99/100",
        "",
    ],
)
def test_only_the_range_that_was_asked_for_is_taken(said: str) -> None:
    async def run() -> None:
        part = answer(bytes(50), f"Content-Range: {said}", status="206 Partial")
        async with (
            server(lambda _: part) as own,
            Distribution(known(f"http://{own.where}"), policy=ONCE) as distribution,
        ):
            repository = distribution.repository(parse("registry.example/a:1"))
            with pytest.raises(InvalidInput, match="an unexpected range"):
                async with repository.blob_stream(replace(LAYER, size=100), 50):
                    raise AssertionError("it was taken")

    asyncio.run(run())


def test_connections_of_a_few_registries_are_kept() -> None:
    async def run() -> None:
        addresses = [f"127.0.0.{number}" for number in range(10, 90)]
        async with server(lambda _: answer(b"{}"), addresses=addresses, port=free_port(addresses[0])) as own:
            port = own.where.rpartition(":")[2]
            async with Distribution(Registries(), policy=ONCE) as distribution:
                for address in addresses:
                    await distribution.repository(parse(f"{address}:{port}/a:1")).manifest("1")
                await until(lambda: own.open <= 32)
                assert own.connections == len(addresses)

    asyncio.run(run())


def test_a_registry_of_which_the_connections_went_is_asked_again() -> None:
    async def run() -> None:
        async with server(lambda _: answer(b"{}")) as own, Distribution(Registries(), policy=ONCE) as distribution:
            first = distribution.repository(parse(f"{own.where}/a:1"))
            await first.manifest("1")
            for number in range(40):
                distribution.repository(parse(f"127.0.0.{number + 2}:1/a:1"))
            await until(lambda: own.open == 0)
            assert (await first.manifest("1")).content == b"{}"
            await until(lambda: own.open == 0)

    asyncio.run(run())


def test_slots_are_free_again_after_each_way_to_end(tmp_path: Path) -> None:
    image, blob = image_and_blob(1000)
    ends: list[Answer] = [answer(status="500 No"), answer(b"short"), b"\0\r\n\r\n", answer(status="404 No")]

    async def run() -> None:
        images = store(tmp_path / "images", ONCE)
        handler = serving(image, blobs={blob: lambda _: ends.pop() if ends else answer(image.blobs[blob])})
        async with server(handler) as own, asyncio.timeout(60):
            for _ in range(len(ends)):
                with pytest.raises((Unavailable, InvalidInput, ShoalError)):
                    await images.ensure(f"{own.where}/a:1", ignore)
            async with under_way(images.ensure(f"{own.where}/a:1", ignore)):
                pass
            assert (await images.ensure(f"{own.where}/a:1", ignore)).layers
        await images.aclose()

    asyncio.run(run())
