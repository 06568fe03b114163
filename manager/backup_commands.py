"""`shoal-manager backup` and `restore`: write a cluster's records to a file, and restore them to an empty etcd."""

import asyncio
import os
import socket
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

from manager.backups.export import BackupExporter, exported
from manager.backups.restoration import CheckedBackup, Restoration
from manager.backups.schedule_rules import S3_SCHEME, target_faults
from manager.backups.targets import open_target
from manager.etcd.connect import connect_to_running_etcd, open_etcd
from manager.etcd.layout import load_layout
from manager.settings import Settings
from manager.store.offset_backend import OffsetBackend
from shoal.api.v1.cluster_pb2 import BackupTarget
from shoal.backups.backup_header import BackupHeader
from shoal.backups.partial_file import written_whole
from shoal.errors import InvalidInput, NotFound, Refused, Unavailable
from shoal.identity import certificates, identity
from shoal.identity.identity import Identity
from shoal.identity.keyring import load_keyring
from shoal.identity.private_files import make_private_directory
from shoal.rpc import host_port

ANSWER_SECONDS = 3.0


@dataclass(frozen=True)
class BackupSource:
    """Where a backup is read from.

    Attributes:
        address: a path, or s3://bucket/key. The rest is of S3, as in `BackupTarget`.
    """

    address: str
    endpoint: str = ""
    region: str = ""
    ca: Path | None = None
    access_key_id: str = ""
    secret_key: str = ""


def save_backup(settings: Settings, file: Path) -> BackupHeader:
    """Write a backup of the running etcd. Raises as `BackupExporter.export` and `connect_to_running_etcd`."""
    return asyncio.run(_save(settings, file))


class RestoreCommand:
    """A backup that was read and checked, until it is written. A context manager around both.

    Args:
        settings: of the manager that is to start with it.
    """

    def __init__(self, settings: Settings, file: BinaryIO, checked: CheckedBackup, restoration: Restoration) -> None:
        self._settings = settings
        self._file = file
        self._restoration = restoration
        self.checked = checked

    def check_stopped(self) -> None:
        """Raises Refused: a manager of the cluster still accepts connections."""
        running = asyncio.run(_running([each.api_address for each in self.checked.managers]))
        if running:
            raise Refused(
                f"a manager responds at {', '.join(running)}: all managers of the cluster must be stopped. If another "
                "program uses that address now, use --skip-manager-check"
            )

    def write(self) -> None:
        """Raises as `Restoration.write` and `open_etcd`."""
        asyncio.run(self._write())

    async def _write(self) -> None:
        async with open_etcd(self._settings) as opened:
            await self._restoration.write(opened.client, self._file, self.checked)


@contextmanager
def checked_restore(settings: Settings, source: BackupSource) -> Generator[RestoreCommand]:
    """Read the whole backup and check it, before anything is created.

    Raises:
        InvalidInput: it cannot be restored with this cluster key. NotFound: it, or the cluster key, is missing.
        Refused: this host's etcd is one of several members, or its identity is of another cluster.
        Unavailable: it cannot be read.
    """
    with _opened(source) as file:
        try:
            keyring = load_keyring(settings.key_file)
        except NotFound as error:
            raise NotFound(f"{error}; a backup is encrypted with it: put the cluster's file there first") from error
        own = _own_identity(settings)
        restoration = Restoration(
            keyring=keyring,
            now_ms=_now_ms,
            manager_id=certificates.subject_of(own.certificate).id if own is not None else "",
            forget_managers=not settings.etcd_endpoints,
        )
        try:
            checked = restoration.check(file)
        except InvalidInput as error:
            raise InvalidInput(f"{source.address} cannot be restored: {error}") from error
        except OSError as error:
            raise Unavailable(f"cannot read {source.address}: {error.strerror}") from error
        if own is not None and own.ca.strip() != checked.ca_certificate.strip():
            raise Refused(f"{settings.state_directory / 'identity'} is of another cluster; move it away")
        if not settings.etcd_endpoints and load_layout(settings.state_directory / "etcd") is not None:
            raise Refused(
                f"{settings.state_directory / 'etcd'} is a member of the etcd of several managers; stop all managers, "
                "and move that directory away. The others have to join again"
            )
        _prepare(settings)
        yield RestoreCommand(settings, file, checked, restoration)


async def _save(settings: Settings, file: Path) -> BackupHeader:
    keyring = load_keyring(settings.key_file)
    async with connect_to_running_etcd(settings) as etcd:
        backend = OffsetBackend(etcd)
        await backend.load()
        export = await BackupExporter(backend, keyring, _now_ms, version("shoal")).export()
        try:
            with written_whole(file) as out:
                async for part in exported(export):
                    out.write(part.data)
        except OSError as error:
            raise Unavailable(f"cannot write {file}: {error.strerror}") from error
    return export.header


@contextmanager
def _opened(source: BackupSource) -> Generator[BinaryIO]:
    if source.address.startswith(S3_SCHEME):
        with tempfile.TemporaryFile() as file:
            asyncio.run(_download(source, file))
            yield file
        return
    with _open_file(Path(source.address)) as found:
        yield found


def _open_file(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist") from None
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from error


async def _download(source: BackupSource, file: BinaryIO) -> None:
    prefix, _, name = source.address.rpartition("/")
    target = BackupTarget(
        address=prefix,
        endpoint=source.endpoint,
        region=source.region,
        access_key_id=source.access_key_id,
        ca_certificate=_read(source.ca) if source.ca is not None else b"",
    )
    if not name or prefix == S3_SCHEME.rstrip("/"):
        raise InvalidInput(f"{source.address} names no file in a bucket")
    if faults := target_faults(target):
        raise InvalidInput(faults)
    async with open_target(target, source.secret_key) as opened:
        await opened.fetch(name, file)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from error


def _own_identity(settings: Settings) -> Identity | None:
    directory = settings.state_directory / "identity"
    return Identity.load(directory) if identity.is_complete(directory) else None


def _prepare(settings: Settings) -> None:
    try:
        make_private_directory(settings.state_directory)
    except OSError as error:
        raise Unavailable(
            f"cannot create {settings.state_directory}: {error.strerror}; run this command as root"
        ) from error
    if not os.access(settings.state_directory, os.W_OK):
        raise Unavailable(f"cannot write to {settings.state_directory}; run this command as root")


async def _running(addresses: Sequence[str]) -> list[str]:
    """Those that accept a connection."""

    async def accepts(address: str) -> bool:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                place = host_port.parse(address)
                _, writer = await asyncio.open_connection(place.host, place.port)
        except (OSError, TimeoutError, socket.gaierror, InvalidInput):
            return False
        writer.close()
        return True

    found = await asyncio.gather(*map(accepts, addresses))
    return sorted(address for address, accepted in zip(addresses, found, strict=True) if accepted)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
