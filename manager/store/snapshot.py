"""All records of a cluster in one file: saved at one revision while managers run, restored to an empty etcd.

A gzip stream, which detects truncation and damage: a line with the format, a line of JSON (`SnapshotInfo`), then for
each record the lengths of key and value, 4 bytes each in network order, and their bytes.
"""

import gzip
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from manager.store.backend import Backend, Put, prefix_end
from manager.store.kinds import (
    APPLIED,
    CLUSTER,
    EPOCH,
    LEADER,
    MANAGER,
    MANAGER_CLOCK,
    MEMBERSHIP,
    PLAN_SEQUENCE,
    REGISTERED_MANAGER,
    ROOT,
    parse_key,
)
from manager.store.transaction import MAX_BYTES, size
from shoal import ids
from shoal.api.v1.cluster_pb2 import Cluster, Epoch
from shoal.errors import InvalidInput, NotFound, Refused, Unavailable
from shoal.identity.private_files import write_atomically
from shoal.ids import NewId

_FORMAT = b"shoal snapshot 1\n"
_LENGTHS = struct.Struct("!II")
_PAGE = 2000
_NOT_RESTORED = frozenset(
    kind.name
    for kind in (LEADER, MANAGER, MANAGER_CLOCK, REGISTERED_MANAGER, MEMBERSHIP, APPLIED, EPOCH, PLAN_SEQUENCE)
)
"""Records about running managers, which are not valid after a restore."""


@dataclass(frozen=True)
class SnapshotInfo:
    """The description of a snapshot.

    Attributes:
        cluster: its id.
        revision: of etcd, at which all records were read.
        created_at_ms: milliseconds since the Unix epoch.
    """

    cluster: str
    revision: int
    created_at_ms: int
    records: int


async def save(backend: Backend, file: Path, now_ms: Callable[[], int]) -> SnapshotInfo:
    """Save all records at one revision. The file is readable by its owner only, and is complete or absent.

    Raises:
        NotFound: there is no cluster in this etcd.
        Unavailable: etcd is unavailable, or the file cannot be written.
    """
    puts, revision = await _read_all(backend)
    cluster = next((put for put in puts if put.key == CLUSTER.key("")), None)
    if cluster is None:
        raise NotFound("etcd contains no cluster; nothing was written")
    info = SnapshotInfo(Cluster.FromString(cluster.value).meta.id, revision, now_ms(), len(puts))
    content = gzip.compress(b"".join(_content(info, puts)), compresslevel=6)
    try:
        write_atomically(file, content)
    except OSError as error:
        raise Unavailable(f"cannot write {file}: {error.strerror}") from error
    return info


async def restore(
    backend: Backend, file: Path, *, now_ms: Callable[[], int], new_id: NewId = ids.new_id
) -> SnapshotInfo:
    """Write the records of a snapshot to an empty etcd, and start a new epoch: managers that loaded the previous
    records can write no more.

    Raises:
        InvalidInput: the file is not a valid snapshot; nothing was written.
        Refused: etcd is not empty.
        Unavailable: etcd is unavailable, or the file cannot be read.
    """
    info, puts = read(file)
    start = ROOT.encode()
    if (await backend.range(start, prefix_end(start), limit=1)).records:
        raise Refused("etcd already contains a cluster; restore a snapshot to an empty etcd")
    epoch = Epoch(id=new_id(), started_at_ms=now_ms())
    puts = [put for put in puts if _is_restored(put.key)]
    puts.append(Put(EPOCH.key(epoch.id), epoch.SerializeToString()))
    # The cluster's record comes last: no manager starts on a partial restore.
    puts.sort(key=lambda put: put.key == CLUSTER.key(""))
    for batch in _batches(puts, backend.max_operations):
        await backend.txn((), batch)
    return info


def read(file: Path) -> tuple[SnapshotInfo, list[Put]]:
    """Read a snapshot file.

    Raises:
        InvalidInput: it is not a valid snapshot. NotFound, Unavailable: it cannot be read.
    """
    try:
        with gzip.open(file, "rb") as stream:
            if stream.readline() != _FORMAT:
                raise ValueError("unknown format")
            info = SnapshotInfo(**json.loads(stream.readline()))
            puts = list(_records(stream))
    except FileNotFoundError:
        raise NotFound(f"{file} does not exist") from None
    except (gzip.BadGzipFile, EOFError, zlib.error, ValueError, TypeError, struct.error) as error:
        raise InvalidInput(f"{file} is not a valid snapshot: {error}") from error
    except OSError as error:
        raise Unavailable(f"cannot read {file}: {error.strerror}") from error
    if len(puts) != info.records:
        raise InvalidInput(f"{file} is incomplete: it contains {len(puts)} of {info.records} records")
    return info, puts


async def _read_all(backend: Backend) -> tuple[list[Put], int]:
    key, end, revision = ROOT.encode(), prefix_end(ROOT.encode()), 0
    puts: list[Put] = []
    while True:
        page = await backend.range(key, end, revision=revision, limit=_PAGE)
        revision = page.revision
        puts += [Put(each.key, each.value) for each in page.records if _is_restored(each.key)]
        if page.next_key is None:
            return puts, revision
        key = page.next_key


def _is_restored(key: bytes) -> bool:
    place = parse_key(key)
    return place is None or place[0].name not in _NOT_RESTORED


def _content(info: SnapshotInfo, puts: list[Put]) -> Iterator[bytes]:
    yield _FORMAT
    yield json.dumps(asdict(info)).encode() + b"\n"
    for put in puts:
        yield _LENGTHS.pack(len(put.key), len(put.value))
        yield put.key
        yield put.value


def _records(stream: gzip.GzipFile) -> Iterator[Put]:
    while head := stream.read(_LENGTHS.size):
        key_length, value_length = _LENGTHS.unpack(head)
        put = Put(stream.read(key_length), stream.read(value_length))
        if (len(put.key), len(put.value)) != (key_length, value_length):
            raise ValueError("truncated record")
        yield put


def _batches(puts: list[Put], max_operations: int) -> Iterator[list[Put]]:
    batch: list[Put] = []
    room = MAX_BYTES
    for put in puts:
        if batch and (len(batch) >= max_operations or size(put) > room):
            yield batch
            batch, room = [], MAX_BYTES
        batch.append(put)
        room -= size(put)
    if batch:
        yield batch
