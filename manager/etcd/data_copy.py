"""What is in the data of an etcd that does not respond.

etcd 3.4 answers nobody before it has found a majority of its members. So its data are copied, and an etcd that is to
take itself for the only member is started with the copy, read, and stopped.
"""

import asyncio
import logging
import shutil
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from manager.etcd.server import EtcdServer, etcd_server
from manager.store.backend import KeyValue, prefix_end
from manager.store.kinds import ROOT
from shoal.errors import Unavailable
from shoal.threaded_call import in_thread

_log = logging.getLogger(__name__)

DIRECTORY = "copy"
"""In the manager's state directory (paths of sockets are short); removed when it has been read."""
READ_SECONDS = 120.0
"""For an etcd with the copy to start and to be read."""
PAGE_RECORDS = 2000
CHUNK_BYTES = 4 << 20
"""Copied at a time; a copy that is not needed any more ends after one."""
SPARE_BYTES = 1 << 30
"""That stay free on the disk."""


@dataclass(frozen=True)
class DataCopy:
    """Shoal's records.

    Attributes:
        records: in the order of their keys.
        revision: of etcd when it was stopped, or a few more.
        written_at_ms: when the data were last written, milliseconds since the Unix epoch.
    """

    records: Sequence[KeyValue]
    revision: int
    written_at_ms: int


async def read_copy(server: EtcdServer) -> DataCopy:
    """Copy the data of an etcd that waits for other members, and read the copy.

    Raises:
        Unavailable: the disk has no space for it, or it cannot be read.
    """
    directory = server.directory.parent / DIRECTORY
    try:
        await _copied(server.directory / "data", directory)
        async with asyncio.timeout(READ_SECONDS):
            return await _read(server.of_copy(directory), server.written_at_ms)
    except TimeoutError as error:
        raise Unavailable(f"the copy of etcd's data could not be read within {READ_SECONDS:g} s") from error
    except OSError as error:
        raise Unavailable(f"cannot copy the data of etcd: {error}") from error
    finally:
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


class _NotNeeded(Exception):
    """The etcd whose data are copied has responded meanwhile."""


async def _copied(data: Path, directory: Path) -> None:
    """Copy in a thread, which has ended afterwards, also when this is cancelled: it would go on after the deletion."""
    ended = threading.Event()
    await in_thread(partial(_copy, data, directory, ended), on_cancel=ended.set)


def _copy(data: Path, directory: Path, ended: threading.Event) -> None:
    """Into the state directory of another etcd, unless it ends before."""
    shutil.rmtree(directory, ignore_errors=True)
    needed = sum(each.stat().st_size for each in data.rglob("*") if each.is_file())
    if shutil.disk_usage(data).free < needed + SPARE_BYTES:
        raise Unavailable(f"the disk has no space for a copy of etcd's data ({needed >> 20} MiB)")
    (directory / "etcd").mkdir(mode=0o700, parents=True)
    with suppress(_NotNeeded):
        shutil.copytree(data, directory / "etcd" / "data", copy_function=partial(_copy_file, ended))


def _copy_file(ended: threading.Event, source: str, target: str) -> None:
    with Path(source).open("rb") as read, Path(target).open("wb") as written:
        while chunk := read.read(CHUNK_BYTES):
            if ended.is_set():
                raise _NotNeeded
            written.write(chunk)


async def _read(server: EtcdServer, written_at_ms: int) -> DataCopy:
    server.mark_initialized()
    records: list[KeyValue] = []
    key, end, revision = ROOT.encode(), prefix_end(ROOT.encode()), 0
    async with etcd_server(server) as client:
        while True:
            page = await client.range(key, end, revision=revision, limit=PAGE_RECORDS)
            records.extend(page.records)
            if page.next_key is None:
                return DataCopy(records, page.revision, written_at_ms)
            key, revision = page.next_key, page.revision
