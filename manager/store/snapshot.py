"""All records of a cluster in one file: written at one revision while managers go on, read into an empty etcd.

A gzip stream, which tells by itself when it is cut or damaged: a line that names the form, a line of JSON (`SnapshotInfo`),
then of each record the lengths of key and value, 4 bytes each in network order, and their bytes.
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
_NOT_RESTORED = frozenset(kind.name for kind in (LEADER, MANAGER, REGISTERED_MANAGER, APPLIED, EPOCH, PLAN_SEQUENCE))
"""What says which managers live and how far they are: nothing of it holds after a restoration."""


@dataclass(frozen=True)
class SnapshotInfo:
    """What a snapshot is of.

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
    """Write all records as they are at one revision. The file is for its owner alone, whole or not there.

    Raises:
        NotFound: there is no cluster in this etcd.
        Unavailable: etcd is away, or the file cannot be written.
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
    """Write the records of a snapshot into an etcd that has none, and begin another epoch: managers that still have
    what was there before write nothing any more.

    Raises:
        InvalidInput: the file is no snapshot, or damaged; nothing was written.
        Refused: there are records already.
        Unavailable: etcd is away, or the file cannot be read.
    """
    info, puts = read(file)
    start = ROOT.encode()
    if (await backend.range(start, prefix_end(start), limit=1)).records:
        raise Refused("etcd already contains a cluster; restore a snapshot to an empty etcd")
    epoch = Epoch(id=new_id(), started_at_ms=now_ms())
    puts = [put for put in puts if _is_restored(put.key)]
    puts.append(Put(EPOCH.key(epoch.id), epoch.SerializeToString()))
    # What makes it a cluster comes last: no manager takes a part for the whole.
    puts.sort(key=lambda put: put.key == CLUSTER.key(""))
    for batch in _batches(puts, backend.max_operations):
        await backend.txn((), batch)
    return info


def read(file: Path) -> tuple[SnapshotInfo, list[Put]]:
    """What is in a file.

    Raises:
        InvalidInput: it is no snapshot, or damaged. NotFound, Unavailable: it cannot be read.
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
        of_key, of_value = _LENGTHS.unpack(head)
        put = Put(stream.read(of_key), stream.read(of_value))
        if (len(put.key), len(put.value)) != (of_key, of_value):
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
