"""Batches that nobody parses on the way: the same bytes as a message has, and only such a batch is taken for one."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from manager.logs.log_handler import response_of
from shoal.api.v1.control_pb2 import LogsResponse
from shoal.api.v1.streams_pb2 import LogBatch, LogChunk
from shoal.encoded_message import EncodedMessage, field_head, field_range
from shoal.logs.encoded_batch import encode_run, lines_of, read_batch, task_ids

ONE = LogChunk(task_id="t", lines=b"line\n")


@given(st.text(min_size=1, max_size=200), st.binary(min_size=1, max_size=300), st.booleans())
@example("t", b"x" * (1 << 21), True)
def test_encoded_is_what_the_message_would_be(task_id: str, lines: bytes, lost: bool) -> None:
    message = LogBatch(chunks=[LogChunk(task_id=task_id, lines=lines, lines_lost=lost)])
    written = encode_run(task_id, lines, lost=lost)
    assert written.encoded == message.SerializeToString()
    for batch in (written, read_batch(written.encoded)):
        assert batch is not None
        assert list(batch.chunks) == list(message.chunks)
        assert (*task_ids(batch), *lines_of(batch)) == (*task_ids(message), *lines_of(message)) == (task_id, lines)
    sent: Any = response_of(written)
    assert isinstance(sent, EncodedMessage)
    assert LogsResponse.FromString(sent.encoded) == response_of(message) == LogsResponse(batch=message)


def test_a_loss_alone_has_no_lines() -> None:
    (chunk,) = LogBatch.FromString(encode_run("t", b"", lost=True).encoded).chunks
    assert (chunk.task_id, chunk.lines, chunk.lines_lost) == ("t", b"", True)


@given(st.binary(max_size=40) | st.builds(lambda head, more: head + more, st.just(b"\n\x0b\n\x01t2\x04"), st.binary()))
def test_any_bytes_are_parsed_or_are_such_a_batch(raw: bytes) -> None:
    batch = read_batch(raw)
    if batch is not None:
        message = LogBatch.FromString(raw)
        assert (list(task_ids(message)), list(lines_of(message))) == ([batch.task_id], [batch.lines])
        assert list(message.chunks) == list(batch.chunks)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        LogBatch(chunks=[ONE, ONE]).SerializeToString(),
        LogBatch(chunks=[LogChunk(lines=b"line\n")]).SerializeToString(),
        encode_run("t", b"line\n", lost=False).encoded + b"\x10\x01",
        encode_run("t", b"line\n", lost=False).encoded[:-1],
        encode_run("t", b"line\n", lost=True).encoded.replace(b"8\x01", b"8\x02"),
        encode_run("t", b"line\n", lost=False).encoded.replace(b"\x01t", b"\x01\xff"),
        b"\n\xff\xff\xff\xff\xff\xff",
    ],
)
def test_what_has_anything_else_is_parsed(raw: bytes) -> None:
    assert read_batch(raw) is None


@given(st.integers(0, 1 << 22), st.integers(1, 15))
def test_fields_are_found_again(size: int, number: int) -> None:
    head = field_head(number, size)
    assert field_range(head + bytes(size), 0, number) == (len(head), len(head) + size)
    with pytest.raises(ValueError, match=r"no (end|field)"):
        field_range(head + bytes(size - 1) if size else b"", 0, number)
