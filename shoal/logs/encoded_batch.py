"""Batches of one task's lines that stay as they lie on the wire, from the node's file to the user's command. Pure."""

from collections.abc import Sequence
from typing import TypeAlias

from shoal.api.v1.streams_pb2 import LogBatch, LogChunk
from shoal.encoded_message import EncodedMessage, field_head, field_range

_CHUNKS = LogBatch.CHUNKS_FIELD_NUMBER
_TASK_ID, _LINES = LogChunk.TASK_ID_FIELD_NUMBER, LogChunk.LINES_FIELD_NUMBER
_LOST = bytes((LogChunk.LINES_LOST_FIELD_NUMBER << 3, 1))


class EncodedBatch(EncodedMessage):
    """A `LogBatch` of one chunk. Created by `encode_run` and `read_batch`."""

    __slots__ = ("_begin", "_chunks", "_end", "task_id")

    def __init__(self, encoded: bytes, task_id: str, begin: int, end: int) -> None:
        super().__init__(encoded)
        self.task_id = task_id
        self._begin, self._end = begin, end
        self._chunks: Sequence[LogChunk] | None = None

    @property
    def lines(self) -> bytes:
        """The chunk's; a copy."""
        return self.encoded[self._begin : self._end]

    @property
    def chunks(self) -> Sequence[LogChunk]:
        """As of `LogBatch`, for those who look into it."""
        if self._chunks is None:
            self._chunks = LogBatch.FromString(self.encoded).chunks
        return self._chunks


Batch: TypeAlias = LogBatch | EncodedBatch


def encode_run(task_id: str, lines: bytes, *, lost: bool) -> EncodedBatch:
    """The batch of these lines, copied once."""
    name, tail = task_id.encode(), _LOST if lost else b""
    head = field_head(_TASK_ID, len(name)) + name + field_head(_LINES, len(lines))
    head = field_head(_CHUNKS, len(head) + len(lines) + len(tail)) + head
    return EncodedBatch(b"".join((head, lines, tail)), task_id, len(head), len(head) + len(lines))


def read_batch(encoded: bytes) -> EncodedBatch | None:
    """A batch that has exactly what `encode_run` writes, and nothing else; None: it must be parsed."""
    try:
        at, end = field_range(encoded, 0, _CHUNKS)
        begin, at = field_range(encoded, at, _TASK_ID)
        task_id = encoded[begin:at].decode()
        begin, at = field_range(encoded, at, _LINES)
    except ValueError:
        return None
    if end != len(encoded) or encoded[at:] not in (b"", _LOST):
        return None
    return EncodedBatch(encoded, task_id, begin, at)


def task_ids(batch: Batch) -> Sequence[str]:
    """Of its chunks."""
    return (batch.task_id,) if isinstance(batch, EncodedBatch) else [chunk.task_id for chunk in batch.chunks]


def lines_of(batch: Batch) -> Sequence[bytes]:
    """Of its chunks."""
    return (batch.lines,) if isinstance(batch, EncodedBatch) else [chunk.lines for chunk in batch.chunks]
