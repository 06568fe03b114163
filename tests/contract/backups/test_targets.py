"""Directories and buckets keep the same promises. The bucket is of a real service, over TLS."""

import asyncio
import io
import logging
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from manager.backups.targets import DirectoryTarget, open_target
from shoal.api.v1.cluster_pb2 import BackupTarget
from shoal.errors import InvalidInput, NotFound, Unavailable
from tests.contract.backups.s3_service import SECRET_KEY, S3Service, s3_service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Generator[S3Service]:
    with s3_service(tmp_path_factory.mktemp("s3")) as running:
        yield running


@dataclass(frozen=True)
class Place:
    """A target, and the directory in which its files are."""

    target: BackupTarget
    secret_key: str
    directory: Path


@pytest.fixture(params=["directory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, service: S3Service) -> Place:
    if request.param == "directory":
        return Place(BackupTarget(address=str(tmp_path)), "", tmp_path)
    prefix = f"of/{tmp_path.name}"
    return Place(service.target(prefix), SECRET_KEY, service.directory / "backups" / prefix)


def test_what_is_stored_is_listed_fetched_and_deleted(place: Place) -> None:
    content = bytes(range(256)) * 20_000

    async def scenario() -> None:
        async with open_target(place.target, place.secret_key) as target:
            assert await target.names() == []
            file = io.BytesIO(content)
            file.read(100)  # wherever it is
            await target.store("a.backup", file)
            await target.store("b.backup", io.BytesIO(b"b"))
            assert sorted(await target.names()) == ["a.backup", "b.backup"]
            assert sorted(each.name for each in place.directory.iterdir()) == ["a.backup", "b.backup"]
            fetched = io.BytesIO()
            await target.fetch("a.backup", fetched)
            assert fetched.getvalue() == content
            await target.delete("a.backup")
            await target.delete("a.backup")
            assert await target.names() == ["b.backup"]
            with pytest.raises(NotFound):
                await target.fetch("a.backup", io.BytesIO())

    asyncio.run(scenario())


async def fails(target: BackupTarget, secret_key: str) -> str:
    with pytest.raises(Unavailable) as caught:
        async with open_target(target, secret_key) as opened:
            await opened.names()
    return str(caught.value)


def test_wrong_credentials_are_named_and_not_shown(service: S3Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    refused = asyncio.run(fails(service.target(), "another-secret"))
    assert "SignatureDoesNotMatch" in refused
    assert "another-secret" not in refused + caplog.text
    assert "InvalidAccessKeyId" in asyncio.run(fails(service.target(access_key_id="NOBODY"), SECRET_KEY))


def test_only_the_given_authority_is_trusted(service: S3Service) -> None:
    target = service.target()
    target.ca_certificate = b""
    assert "certificate of the S3 service is not valid" in asyncio.run(fails(target, SECRET_KEY))


def test_a_bucket_that_is_missing_and_a_service_that_is_away(service: S3Service) -> None:
    missing = service.target()
    missing.address = "s3://no-such-bucket/x"
    assert "NoSuchBucket" in asyncio.run(fails(missing, SECRET_KEY))
    away = service.target(endpoint="https://127.0.0.1:1")
    assert "cannot reach the S3 service" in asyncio.run(fails(away, SECRET_KEY))


def test_an_endpoint_that_is_no_url_is_refused() -> None:
    async def scenario() -> None:
        target = BackupTarget(address="s3://backups/x", endpoint="https://", access_key_id="a")
        async with open_target(target, "b"):
            pass

    with pytest.raises(InvalidInput, match="settings of S3"):
        asyncio.run(scenario())


def test_a_directory_is_not_created(tmp_path: Path) -> None:
    async def scenario() -> None:
        with pytest.raises(Unavailable, match="No such file or directory"):
            await DirectoryTarget(tmp_path / "not-mounted").store("a.backup", io.BytesIO(b"a"))

    asyncio.run(scenario())
    assert not (tmp_path / "not-mounted").exists()
