"""All records of a cluster at one revision of etcd, as a stream of the backup's bytes: a page of them in memory."""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import NamedTuple

from manager.store.backend import Backend, Compacted, KeyValue, prefix_end
from manager.store.kinds import (
    APPLIED,
    CLUSTER,
    EPOCH,
    LEADER,
    MANAGER,
    MANAGER_CLOCK,
    MEMBERSHIP,
    PLAN_SEQUENCE,
    ROOT,
    parse_key,
)
from shoal.api.v1.cluster_pb2 import Cluster
from shoal.backups.backup_header import SALT_BYTES, BackupHeader
from shoal.backups.backup_reader import count_by
from shoal.backups.backup_writer import BackupWriter
from shoal.errors import NotFound, Unavailable
from shoal.identity.keyring import Keyring

_log = logging.getLogger(__name__)

NOT_IN_BACKUPS = frozenset(
    kind.name for kind in (LEADER, MANAGER, MANAGER_CLOCK, MEMBERSHIP, APPLIED, EPOCH, PLAN_SEQUENCE)
)
"""Records about running managers and their etcd, which mean nothing in another etcd. (The epoch is in the header.)"""
OTHER = "other"
"""Counted under this name: records of kinds that this release does not know."""
PAGE_BYTES = 2 << 20
"""About as much is read of etcd at a time."""
_FIRST_PAGE, _LARGEST_PAGE, _KEYS_PAGE = 64, 2048, 5000


class BackupPart(NamedTuple):
    """The next bytes of a backup, and how many records it has up to there."""

    data: bytes
    records_done: int


@dataclass(frozen=True)
class BackupExport:
    """A backup in progress: its header, and its bytes in order."""

    header: BackupHeader
    parts: AsyncGenerator[BackupPart, None]


@dataclass(frozen=True)
class BackupExporter:
    """Reads backups of etcd.

    Attributes:
        now_ms: milliseconds since the Unix epoch.
        release: of this manager.
    """

    backend: Backend
    keyring: Keyring
    now_ms: Callable[[], int]
    release: str

    async def export(self, *, schedule: str = "") -> BackupExport:
        """Begin a backup as of now: everything that was acknowledged before this call is in it.

        Args:
            schedule: id of the schedule that it is made for; empty: none.

        Raises:
            NotFound: there is no cluster in this etcd. Unavailable: etcd is unavailable. (Also raised by the parts.)
        """
        key = CLUSTER.key("")
        page = await self.backend.range(key, key + b"\0")
        if not page.records:
            raise NotFound("etcd contains no cluster")
        names: list[str] = []
        epoch = ""
        async for record in self._records(page.revision, keys_only=True):
            kind, identifier = parse_key(record.key) or (None, "")
            epoch = identifier if kind is EPOCH else epoch
            if kind is None or kind.name not in NOT_IN_BACKUPS:
                names.append(OTHER if kind is None else kind.name)
        header = BackupHeader(
            cluster=Cluster.FromString(page.records[0].value).meta.id,
            epoch=epoch,
            revision=page.revision,
            created_at_ms=self.now_ms(),
            release=self.release,
            key_id=self.keyring.key_id,
            counts=count_by(iter(names)),
            salt=secrets.token_hex(SALT_BYTES),
            schedule=schedule,
        )
        return BackupExport(header, self._parts(header))

    async def _parts(self, header: BackupHeader) -> AsyncGenerator[BackupPart, None]:
        writer = BackupWriter(header, self.keyring.current)
        yield BackupPart(writer.begin(), 0)
        done = 0
        async with aclosing(self._records(header.revision)) as records:
            async for record in records:
                if not is_in_backups(record.key):
                    continue
                writer.add(record.key, record.value)
                done += 1
                if writer.is_full:
                    yield BackupPart(await asyncio.to_thread(writer.block), done)
        yield BackupPart(await asyncio.to_thread(writer.finish), done)

    async def _records(self, revision: int, *, keys_only: bool = False) -> AsyncGenerator[KeyValue, None]:
        """All below ROOT, in the order of their keys."""
        key: bytes | None = ROOT.encode()
        limit = _KEYS_PAGE if keys_only else _FIRST_PAGE
        while key is not None:
            try:
                page = await self.backend.range(
                    key, prefix_end(ROOT.encode()), revision=revision, limit=limit, keys_only=keys_only
                )
            except Compacted as error:
                raise Unavailable("etcd was compacted while it was read; run the backup again") from error
            for record in page.records:
                yield record
            limit = limit if keys_only else _next_limit(limit, sum(len(each.value) for each in page.records))
            key = page.next_key


def is_in_backups(key: bytes) -> bool:
    """Whether a key is written to backups."""
    place = parse_key(key)
    return place is None or place[0].name not in NOT_IN_BACKUPS


async def exported(export: BackupExport) -> AsyncIterator[BackupPart]:
    """The parts, closed at the end."""
    async with aclosing(export.parts) as parts:
        async for part in parts:
            yield part


def _next_limit(limit: int, size: int) -> int:
    """How many records to read next, for pages of about `PAGE_BYTES`."""
    if size > PAGE_BYTES:
        return max(1, limit // 2)
    return min(2 * limit, _LARGEST_PAGE) if size < PAGE_BYTES // 4 else limit
