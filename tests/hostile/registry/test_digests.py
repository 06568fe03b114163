"""Registries whose content is not what its name says.

Bound: nothing that is asked for by digest is taken for anything else, and the digest of a tag is that of the bytes that
came.
"""

import asyncio

import pytest

from shoal.distribution.digests import digest_of
from shoal.distribution.registry_client import RawManifest, Repository
from shoal.distribution.uploads import Uploader
from shoal.errors import InvalidInput
from tests.hostile.registry.hostile_server import Request, answer, server
from tests.hostile.registry.rig import LAYER, known, outcome, result

OTHER = "sha256:" + "1" * 64
CONTENT = b'{"schemaVersion": 2}'


def test_a_manifest_by_digest_is_that_manifest() -> None:
    async def run() -> None:
        async with server(lambda _: answer(CONTENT, f"Docker-Content-Digest: {OTHER}")) as own:
            settings = known(f"http://{own.where}")
            error = await outcome(lambda repository: repository.manifest(OTHER), settings)
            assert isinstance(error, InvalidInput) and "corrupt" in str(error)
            found = await result(lambda repository: repository.manifest("1"), settings)
        assert found.digest == digest_of(CONTENT), "not what a header says"

    asyncio.run(run())


@pytest.mark.parametrize(
    "claimed", ["", "sha256:1", "md5:" + "1" * 32, OTHER.upper(), OTHER + "0", "../../etc", OTHER + "\t,x"]
)
def test_a_digest_that_is_none_is_not_believed(claimed: str) -> None:
    async def run() -> None:
        def handle(request: Request) -> bytes:
            return answer(b"" if request.method == "HEAD" else CONTENT, f"Docker-Content-Digest: {claimed}")

        async with server(handle) as own:
            found = await result(lambda repository: repository.manifest_digest("1"), known(f"http://{own.where}"))
        assert found == digest_of(CONTENT)

    asyncio.run(run())


@pytest.mark.parametrize("content", [b"", b"laye", b"LAYER", b"layers"])
def test_a_configuration_is_what_the_manifest_names(content: bytes) -> None:
    async def run() -> None:
        async with server(lambda _: answer(content)) as own:
            error = await outcome(lambda repository: repository.blob(LAYER), known(f"http://{own.where}"))
        assert isinstance(error, InvalidInput)

    asyncio.run(run())


@pytest.mark.parametrize("claimed", [OTHER, "nonsense", "x" * 5000])
def test_what_is_stored_as_something_else_is_not_pushed(claimed: str) -> None:
    async def run() -> None:
        async def put(repository: Repository) -> str:
            manifest = RawManifest("application/json", digest_of(CONTENT), CONTENT)
            return await Uploader(repository).put_manifest(manifest, "1")

        async with server(lambda _: answer(b"", f"Docker-Content-Digest: {claimed}", status="201 Created")) as own:
            error = await outcome(put, known(f"http://{own.where}"))
        assert isinstance(error, InvalidInput) and "stored" in str(error) and len(str(error)) < 400

    asyncio.run(run())
