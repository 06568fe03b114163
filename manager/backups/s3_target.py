"""Backups in a bucket, through botocore, Amazon's own client; the only module that imports it.

Messages of its exceptions are not passed on: they may quote what was sent. Only error codes are.
"""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, SSLError

from manager.backups.schedule_rules import S3_SCHEME
from manager.backups.targets import OpenedTarget, copy
from shoal.api.v1.cluster_pb2 import BackupTarget
from shoal.errors import InvalidInput, NotFound, Unavailable

CONNECT_SECONDS = 10
READ_SECONDS = 60
ATTEMPTS = 3
DEFAULT_REGION = "us-east-1"
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})

T = TypeVar("T")


@dataclass(frozen=True)
class S3Target:
    """A prefix of a bucket.

    Attributes:
        prefix: empty, or ends with "/".
        client: of botocore, which has no types of its own.
    """

    bucket: str
    prefix: str
    client: Any
    shared: bool = True

    async def names(self) -> list[str]:
        def listed() -> list[str]:
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
            return [each["Key"].removeprefix(self.prefix) for page in pages for each in page.get("Contents", ())]

        return await self._run(listed)

    async def store(self, name: str, file: BinaryIO) -> None:
        file.seek(0)
        await self._run(lambda: self.client.put_object(Bucket=self.bucket, Key=self.prefix + name, Body=file))

    async def delete(self, name: str) -> None:
        await self._run(lambda: self.client.delete_object(Bucket=self.bucket, Key=self.prefix + name))

    async def fetch(self, name: str, file: BinaryIO) -> None:
        def read() -> None:
            with closing(self.client.get_object(Bucket=self.bucket, Key=self.prefix + name)["Body"]) as body:
                copy(body, file)

        await self._run(read)

    async def _run(self, work: Callable[[], T]) -> T:
        where = f"{S3_SCHEME}{self.bucket}/{self.prefix}"
        try:
            return await asyncio.to_thread(work)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "unknown"))[:64]
            kind = NotFound if code in _MISSING else Unavailable
            raise kind(f"{where}: the S3 service responded with {ascii(code)[1:-1]}") from None
        except SSLError:
            raise Unavailable(f"{where}: the certificate of the S3 service is not valid; see --ca") from None
        except (BotoCoreError, OSError) as error:
            raise Unavailable(f"{where}: cannot reach the S3 service ({type(error).__name__})") from None


@asynccontextmanager
async def open_s3_target(target: BackupTarget, secret_key: str) -> AsyncGenerator[OpenedTarget]:
    """Raises InvalidInput: the settings are not valid."""
    bucket, _, prefix = target.address.removeprefix(S3_SCHEME).partition("/")
    with ExitStack() as stack:
        verify: str | None = None
        if target.ca_certificate:
            authorities = stack.enter_context(tempfile.NamedTemporaryFile(suffix=".pem"))
            authorities.write(target.ca_certificate)
            authorities.flush()
            verify = authorities.name
        client = await asyncio.to_thread(_client, target, secret_key, verify)
        stack.callback(client.close)
        yield S3Target(bucket, prefix.rstrip("/") + "/" if prefix.strip("/") else "", client)


def _client(target: BackupTarget, secret_key: str, verify: str | None) -> Any:
    """Without an access key the environment's or the host's credentials are used, as of any client of Amazon's."""
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"max_attempts": ATTEMPTS, "mode": "standard"},
        # A backup has a checksum of its own, and many compatible services know none of Amazon's newer ones.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"} if target.endpoint else {},
    )
    try:
        return botocore.session.Session().create_client(
            "s3",
            region_name=target.region or DEFAULT_REGION,
            endpoint_url=target.endpoint or None,
            verify=verify,
            aws_access_key_id=target.access_key_id or None,
            aws_secret_access_key=secret_key or None,
            config=config,
        )
    except (BotoCoreError, ValueError) as error:
        raise InvalidInput(f"the settings of S3 are not valid ({type(error).__name__})") from None
