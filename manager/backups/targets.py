"""Where backups are stored: a directory, or a service with the S3 API."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from manager.backups.schedule_rules import S3_SCHEME
from shoal.api.v1.cluster_pb2 import BackupTarget
from shoal.errors import NotFound, Unavailable
from shoal.fault_points.injection import fault
from shoal.identity.keyring import Keyring

SECRET_KEY_PURPOSE = "secret key of the backup target"  # noqa: S105  # a label, not a secret
_PARTIAL = ".partial"

T = TypeVar("T")


class OpenedTarget(Protocol):
    """A target of backups. Every method raises Unavailable: it cannot be read or written."""

    @property
    def shared(self) -> bool:
        """Whether every manager finds the same backups there."""
        ...

    async def names(self) -> list[str]:
        """Of all files in it, not only of backups."""
        ...

    async def store(self, name: str, file: BinaryIO) -> None:
        """Store the file, from its beginning to its end, whole or not at all."""
        ...

    async def delete(self, name: str) -> None:
        """No error if it is absent."""
        ...

    async def fetch(self, name: str, file: BinaryIO) -> None:
        """Read it into this file. Raises NotFound."""
        ...


OpenTarget = Callable[[BackupTarget], AbstractAsyncContextManager[OpenedTarget]]


class DirectoryTarget:
    """A directory of this host. It is not created: where it is missing, a file system is not mounted."""

    shared = False

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def names(self) -> list[str]:
        return await self._run(lambda: [each.name for each in self._directory.iterdir() if each.is_file()])

    async def store(self, name: str, file: BinaryIO) -> None:
        await self._run(lambda: self._write(name, file))

    async def delete(self, name: str) -> None:
        await self._run(lambda: (self._directory / name).unlink(missing_ok=True))

    async def fetch(self, name: str, file: BinaryIO) -> None:
        def read() -> None:
            try:
                with (self._directory / name).open("rb") as stored:
                    copy(stored, file)
            except FileNotFoundError:
                raise NotFound(f"{self._directory / name} does not exist") from None

        await self._run(read)

    def _write(self, name: str, file: BinaryIO) -> None:
        # One of this name is what an attempt has left that ended with its manager.
        draft = self._directory / f".{name.rsplit('-', 1)[0]}{_PARTIAL}"
        file.seek(0)
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as out:
                copy(file, out)
                out.flush()
                os.fsync(out.fileno())
            fault("manager.backup.draft-written")
            draft.replace(self._directory / name)
            fault("manager.backup.in-place")
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        handle = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            raise Unavailable(f"{self._directory}: {error.strerror}") from error


def copy(source: BinaryIO, to: BinaryIO) -> None:
    """Everything from where the source is, a mebibyte at a time."""
    while data := source.read(1 << 20):
        to.write(data)


def target_opener(keyring: Keyring) -> OpenTarget:
    """Opens the targets of schedules, whose secret keys this keyring decrypts."""

    @asynccontextmanager
    async def opened(target: BackupTarget) -> AsyncGenerator[OpenedTarget]:
        secret = b""
        if target.encrypted_secret_key:
            secret = keyring.decrypt(target.encrypted_secret_key, purpose=SECRET_KEY_PURPOSE)
        async with open_target(target, secret.decode()) as found:
            yield found

    return opened


@asynccontextmanager
async def open_target(target: BackupTarget, secret_key: str) -> AsyncGenerator[OpenedTarget]:
    """A target with its secret key in clear.

    Raises:
        InvalidInput, Unavailable: the settings of S3 are not valid, or not complete.
    """
    if not target.address.startswith(S3_SCHEME):
        yield DirectoryTarget(Path(target.address))
        return
    from manager.backups.s3_target import open_s3_target  # its library takes 0.3 s and 30 MB

    async with open_s3_target(target, secret_key) as found:
        yield found
