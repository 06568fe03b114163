"""Registries that answer nonsense, or too much, or never: an error for the user each time, and bounded memory."""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import Descriptor
from shoal.distribution.registries import Registries
from shoal.distribution.registry_client import Distribution, Repository
from shoal.distribution.resolve import RegistryImageResolver
from shoal.distribution.retry_policy import RetryPolicy
from shoal.distribution.uploads import Uploader
from shoal.errors import InvalidInput, ShoalError, Unauthenticated, Unavailable
from shoal.image_reference import parse
from tests.integration.images.rogue_registry import answer, rogue_registry

ONCE = RetryPolicy(attempts=1, idle_seconds=10.0)
LAYER = Descriptor("", digest_of(b"layer"), 5)
BOMB = gzip.compress(bytes(64 << 20))
Work = Callable[[Repository], Awaitable[object]]


async def read_layer(repository: Repository) -> bytes:
    async with repository.blob_stream(LAYER) as stream:
        return b"".join([chunk async for chunk in stream.chunks])


WORK: dict[str, Work] = {
    "manifest": lambda repository: repository.manifest("1"),
    "digest": lambda repository: repository.manifest_digest("1"),
    "blob": lambda repository: repository.blob(LAYER),
    "layer": read_layer,
}


async def refusal(work: Work, *pieces: bytes, policy: RetryPolicy = ONCE, pause_seconds: float = 0.0) -> ShoalError:
    """The error that the user gets."""
    async with (
        rogue_registry(*pieces, pause_seconds=pause_seconds) as where,
        Distribution(Registries(), policy=policy) as distribution,
    ):
        with pytest.raises(ShoalError) as caught:
            await work(distribution.repository(parse(f"{where}/a:1")))
    str(caught.value).encode()
    return caught.value


def redirect(location: str) -> bytes:
    return answer(b"", f"Location: {location}", status="307 Temporary Redirect")


def challenge(realm: str) -> bytes:
    return answer(b"", f'WWW-Authenticate: Bearer realm="{realm}",service="s"', status="401 Unauthorized")


ODD = {
    "nothing": b"",
    "no http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "half a header": b"HTTP/1.1 200 OK\r\nContent-Le",
    "cut off": answer(b"x" * 100)[:-50],
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nx",
    "chunks that are none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n",
    "endless header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * (1 << 20),
    "redirect to no host": redirect("http://"),
    "redirect to a broken host": redirect("http://[::1"),
    "redirect to a broken port": redirect("http://127.0.0.1:port/"),
    "redirect to no name": redirect("http://" + "\xe9" * 80 + ".example/"),
    "redirect to a control character": redirect("/\x7f\x1b"),
    "redirect to another protocol": redirect("file:///etc/shadow"),
    "redirect to itself": redirect("/v2/"),
    "realm of no host": challenge("http://"),
    "realm of a broken host": challenge("http://[::1"),
    "realm of another protocol": challenge("file:///etc/shadow"),
    "refusal in deep brackets": answer(b'{"errors":' + b"[" * 60_000, status="400 Bad Request"),
    "refusal of half a character": answer(b'{"errors":[{"message":"\\ud800"}]}', status="400 Bad Request"),
    "refusal that is encoded": answer(b"no gzip", "Content-Encoding: gzip", status="403 Forbidden"),
}


@pytest.mark.parametrize("work", sorted(WORK))
@pytest.mark.parametrize("case", sorted(ODD))
def test_odd_answers_are_errors_for_the_user(case: str, work: str) -> None:
    asyncio.run(refusal(WORK[work], ODD[case]))


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
def test_an_encoding_that_nobody_asked_for_is_not_undone(encoding: str) -> None:
    error = asyncio.run(refusal(WORK["manifest"], answer(BOMB, f"Content-Encoding: {encoding}")))
    assert isinstance(error, InvalidInput) and "unexpected content encoding" in str(error)


def test_too_large_a_manifest_is_given_up() -> None:
    chunk = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert "too large" in str(asyncio.run(refusal(WORK["manifest"], head, *[chunk] * 64)))


def test_an_answer_that_drips_is_given_up() -> None:
    policy = replace(ONCE, response_seconds=0.3)
    error = asyncio.run(
        refusal(WORK["manifest"], answer(bytes(1000))[:-1000], *[b"x"] * 500, policy=policy, pause_seconds=0.1)
    )
    assert isinstance(error, Unavailable) and "timed out" in str(error)


@pytest.mark.parametrize(
    "token",
    [
        answer(b'{"token": "t", "expires_in": 1' + b"0" * 400 + b"}"),
        answer(b'{"token": "\\ud800"}'),
        answer(b"[" * 60_000),
        answer(BOMB, "Content-Encoding: gzip"),
        answer(b" " * (2 << 20)),
        redirect("http://[::1"),
        b"",
    ],
)
def test_odd_tokens(token: bytes) -> None:
    async def run() -> ShoalError:
        async with rogue_registry(token) as where:
            return await refusal(WORK["manifest"], challenge(f"http://{where}/token"))

    assert isinstance(asyncio.run(run()), Unavailable | Unauthenticated | InvalidInput)


def test_an_upload_without_a_place() -> None:
    async def no_bytes(_: int):  # type: ignore[no-untyped-def]  # never called
        yield b""

    async def upload(repository: Repository) -> None:
        await Uploader(repository).put_blob(LAYER, no_bytes)

    for location in ("http://[::1", "http://127.0.0.1:port/"):
        asyncio.run(refusal(upload, answer(b"", f"Location: {location}", status="202 Accepted")))


MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {"digest": LAYER.digest, "size": 5, "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}}
        ],
    }
).encode()
_anywhere = st.integers(0, len(answer(MANIFEST)))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(_anywhere, st.binary(max_size=12)), min_size=1, max_size=4), st.booleans())
def test_any_damage_to_an_answer_is_an_error_for_the_user_or_none(damage: list[tuple[int, bytes]], cut: bool) -> None:
    content = bytearray(answer(MANIFEST, "Content-Type: application/json"))
    for at, replacement in damage:
        content[at : at + len(replacement)] = replacement
    if cut:
        del content[damage[0][0] :]

    async def run() -> None:
        async with (
            rogue_registry(bytes(content)) as where,
            RegistryImageResolver(Registries(), policy=ONCE) as resolver,
        ):
            try:
                await resolver.resolve(f"{where}/a:1")
            except ShoalError as error:
                str(error).encode()

    asyncio.run(run())
