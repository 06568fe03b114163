"""Registries that never come to an end.

Bound: each request to read ends within its policy's seconds, with less than a second of processor time; a registry
holds three downloads of a node at most, and nobody else's.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agent.images.image_store import ImageStore
from cli.images.pack import PackedImage, PackedLayer
from shoal.distribution.digests import digest_of
from shoal.distribution.registries import Registries
from shoal.distribution.retry_policy import RetryPolicy
from shoal.errors import InvalidInput, ShoalError, Unavailable
from tests.hostile.registry.hostile_server import (
    Answer,
    Handler,
    Request,
    answer,
    drip,
    endless,
    head,
    redirect,
    refuse,
    server,
    serving,
)
from tests.hostile.registry.rig import ONCE, Work, known, outcome, read_layer
from tests.integration.images.rig import AMD64, entry, ignore, image_of, layer_of

SHORT = replace(ONCE, idle_seconds=0.25, response_seconds=2.0)
SLOW = replace(SHORT, idle_seconds=5.0, pace_seconds=0.5, min_bytes_per_second=8 << 10)
BOUND_SECONDS = 10.0
PROCESSOR_SECONDS = 1.5
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
WORK: dict[str, Work] = {
    "manifest": lambda repository: repository.manifest("1"),
    "digest": lambda repository: repository.manifest_digest("1"),
    "layer": read_layer,
}


@asynccontextmanager
async def bounded(seconds: float = BOUND_SECONDS) -> AsyncIterator[None]:
    """Ends in time, and costs little. The server's own work counts as well."""
    before = time.process_time()
    async with asyncio.timeout(seconds):
        yield
    assert time.process_time() - before < PROCESSOR_SECONDS


HEADS: dict[str, Callable[[], AsyncIterator[bytes]]] = {
    "early hints": lambda: endless(b"", EARLY * 200),
    "early hints that drip": lambda: drip(b"", EARLY, seconds=0.05),
    "continue": lambda: drip(b"", b"HTTP/1.1 100 \r\n\r\n", seconds=0.05),
    "headers that drip": lambda: drip(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", seconds=0.05),
    "headers without end": lambda: endless(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 1000),
    "one header that drips": lambda: drip(b"HTTP/1.1 200 OK\r\nX: ", b"x", seconds=0.05),
    "a status line that drips": lambda: drip(b"HTTP/1.1 200 ", b"O", seconds=0.05),
    "empty lines": lambda: endless(b"", b"\r\n" * 1000),
    "silence": lambda: drip(b"", b"", seconds=60),
}


@pytest.mark.parametrize(
    ("case", "work"), [*((case, "layer") for case in sorted(HEADS)), ("continue", "manifest"), ("continue", "digest")]
)
def test_heads_end(case: str, work: str) -> None:
    async def run() -> ShoalError:
        async with server(lambda _: HEADS[case]()) as own, bounded():
            return await outcome(WORK[work], known(f"http://{own.where}"), SHORT)

    assert isinstance(asyncio.run(run()), Unavailable)


@pytest.mark.parametrize("case", ["early hints", "continue", "headers that drip"])
def test_a_token_servers_heads_end(case: str) -> None:
    async def run() -> ShoalError:
        async with (
            server(lambda _: HEADS[case]()) as tokens,
            server(lambda _: refuse(f'Bearer realm="http://{tokens.where}/"')) as own,
            bounded(),
        ):
            return await outcome(read_layer, known(f"http://{own.where}"), SHORT)

    assert isinstance(asyncio.run(run()), Unavailable)


def test_redirects_that_take_their_time_end() -> None:
    async def late(request: Request) -> AsyncIterator[bytes]:
        await asyncio.sleep(0.2)
        yield redirect(f"/v2/further{len(request.path)}{request.path}")

    async def run() -> ShoalError:
        policy = replace(SHORT, response_seconds=0.5)
        async with server(late) as own, bounded():
            return await outcome(read_layer, known(f"http://{own.where}"), policy)

    error = asyncio.run(run())
    assert isinstance(error, Unavailable) and "timed out" in str(error)


@pytest.mark.parametrize("body", ["manifest that drips", "refusal that drips", "token that drips"])
def test_bodies_end(body: str) -> None:
    async def run() -> ShoalError:
        status = "403 No" if body.startswith("refusal") else "200 OK"

        def dripping(_: Request) -> AsyncIterator[bytes]:
            return drip(head(1000, status=status), b"x", seconds=0.05)

        async with server(dripping) as there, bounded():
            challenge = refuse(f'Bearer realm="http://{there.where}/"')
            async with server(lambda _: challenge) as own:
                where = own.where if body.startswith("token") else there.where
                return await outcome(WORK["manifest"], known(f"http://{where}"), replace(SHORT, response_seconds=0.5))

    assert isinstance(asyncio.run(run()), ShoalError)


@pytest.mark.parametrize("work", ["manifest", "layer"])
def test_crumbs_are_given_up(work: str) -> None:
    async def run() -> ShoalError:
        async with server(lambda _: endless(CHUNKED, b"1\r\nx\r\n" * 1000)) as own, bounded():
            return await outcome(WORK[work], known(f"http://{own.where}"), ONCE)

    error = asyncio.run(run())
    assert "too small chunks" in str(error) or isinstance(error, InvalidInput)


def test_a_server_that_never_answers_a_handshake() -> None:
    async def run() -> ShoalError:
        async with server(lambda _: b"") as own, bounded():
            return await outcome(read_layer, known(f"https://{own.where}"), replace(SHORT, connect_seconds=0.5))

    assert isinstance(asyncio.run(run()), Unavailable)


def big_image(layers: int = 1) -> PackedImage:
    """Layers of more than is sent while anybody waits."""
    return image_of(*(layer_of(entry(f"file{number}", bytes(range(256)) * 4000)) for number in range(layers)))


def blobs_of(image: PackedImage, size: int) -> list[str]:
    """Digests of its layers: what is not manifest, and larger than a configuration."""
    return [digest for digest, blob in image.blobs.items() if len(blob) > size and digest != image.manifest.digest]


def store(directory: Path, policy: RetryPolicy) -> ImageStore:
    """A store that leaves no reserve."""
    return ImageStore(directory, Registries(), AMD64, retry=policy, reserve_bytes=0)


async def pull(directory: Path, handler: Handler, policy: RetryPolicy) -> ShoalError:
    """Why an image of a hostile registry is not here."""
    images = store(directory, policy)
    async with server(handler) as own, bounded(20):
        with pytest.raises(ShoalError) as caught:
            await images.ensure(f"{own.where}/a:1", ignore)
    await images.aclose()
    return caught.value


def test_a_layer_that_drips_is_given_up_and_what_came_is_kept(tmp_path: Path) -> None:
    image = big_image()
    (layer,) = blobs_of(image, 2000)
    dripping = {layer: lambda _: drip(head(len(image.blobs[layer])), image.blobs[layer][:1], seconds=0.02)}
    error = asyncio.run(pull(tmp_path, serving(image, blobs=dripping), SLOW))
    assert isinstance(error, Unavailable) and "too slow; the minimum is 8192 bytes per second" in str(error)
    (kept,) = (tmp_path / "partial").iterdir()
    assert 0 < kept.stat().st_size < 1000


def test_a_layer_has_an_end(tmp_path: Path) -> None:
    """It drips just fast enough: 40 kB a second of 100 MB."""
    layer = PackedLayer(b"x" * 2000, digest_of(b"x"))
    image = image_of(layer)
    claimed = lying_about(image, digest_of(layer.blob), 100_000_000)
    dripping = {digest_of(layer.blob): lambda _: drip(head(100_000_000), bytes(2000), seconds=0.05)}
    policy = replace(SLOW, layer_seconds=1.0, slow_bytes_per_second=1 << 40)
    error = asyncio.run(pull(tmp_path, serving(claimed, blobs=dripping), policy))
    assert isinstance(error, Unavailable) and "timed out after 1 s" in str(error)


def test_a_registry_that_breaks_off_after_each_byte(tmp_path: Path) -> None:
    image = big_image()
    (layer,) = blobs_of(image, 2000)
    asked: list[Request] = []

    async def a_byte(request: Request) -> AsyncIterator[bytes]:
        asked.append(request)
        first = int(request.headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        size = len(image.blobs[layer])
        headers = [f"Content-Range: bytes {first}-{size - 1}/{size}"] if first else []
        yield head(size - first, *headers, status="206 Partial" if first else "200 OK")
        yield image.blobs[layer][first : first + 1]

    policy = replace(SLOW, attempts=4, first_seconds=0.01, max_seconds=0.01)
    error = asyncio.run(pull(tmp_path, serving(image, blobs={layer: a_byte}), policy))
    assert isinstance(error, Unavailable) and len(asked) == policy.attempts


def lying_about(image: PackedImage, digest: str, size: int) -> PackedImage:
    """The same with another size in its manifest."""
    content = image.blobs[image.manifest.digest]
    true = f'"digest":"{digest}","mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":'.encode()
    changed = content.replace(true + str(len(image.blobs[digest])).encode(), true + str(size).encode())
    assert changed != content
    manifest = replace(image.manifest, digest=digest_of(changed), size=len(changed))
    return replace(image, manifest=manifest, blobs={**image.blobs, manifest.digest: changed})


async def until(condition: Callable[[], object]) -> None:
    """Poll; the test's own bound ends it."""
    while not condition():  # noqa: ASYNC110 - the other side notifies nobody
        await asyncio.sleep(0.01)


@asynccontextmanager
async def under_way(work: Awaitable[object]) -> AsyncIterator[None]:
    """Cancelled at the end."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def test_a_registry_that_drips_holds_up_no_other(tmp_path: Path) -> None:
    async def run() -> None:
        image, good = big_image(8), image_of(layer_of(entry("good", b"good")))
        dripping: list[Request] = []

        def slow(request: Request) -> Answer:
            dripping.append(request)
            return drip(head(len(image.blobs[request.path.rpartition("/")[2]])), b"x", seconds=0.02)

        handler = serving(image, blobs=dict.fromkeys(blobs_of(image, 2000), slow))
        images = store(tmp_path, RetryPolicy())
        async with (
            server(handler) as hostile,
            server(serving(good)) as own,
            under_way(images.ensure(f"{hostile.where}/a:1", ignore)),
            bounded(20),
        ):
            await until(lambda: len(dripping) >= 3)
            assert (await images.ensure(f"{own.where}/good:1", ignore)).layers
            assert len(dripping) == 3, "the other five layers wait for their turn"
        await images.aclose()

    asyncio.run(run())


def test_a_claim_to_another_images_layer_holds_nobody_up(tmp_path: Path) -> None:
    """The same blob and diff id from a registry that drips, and from a repository that does not have it."""

    async def run() -> None:
        good = big_image()
        (layer,) = blobs_of(good, 2000)
        asked: list[Request] = []

        def slow(request: Request) -> Answer:
            asked.append(request)
            return drip(head(len(good.blobs[layer])), b"x", seconds=0.02)

        async def without(request: Request) -> AsyncIterator[bytes]:
            asked.append(request)
            if "/good/" not in request.path:
                await until(lambda: len(asked) >= 3)
                yield answer(status="404 Not Found")
                return
            yield answer(good.blobs[layer])

        images = store(tmp_path, RetryPolicy())
        async with (
            server(serving(good, blobs={layer: slow})) as hostile,
            server(serving(good, blobs={layer: without})) as own,
            under_way(images.ensure(f"{hostile.where}/a:1", ignore)),
            under_way(images.ensure(f"{own.where}/bad:1", ignore)),
            bounded(20),
        ):
            await until(lambda: len(asked) == 2)
            pulling = asyncio.ensure_future(images.ensure(f"{own.where}/good:1", ignore))
            await until(lambda: any("/good/manifests" in each.path for each in own.requests))
            asked.append(own.requests[-1])
            assert (await pulling).layers
        await images.aclose()

    asyncio.run(run())
