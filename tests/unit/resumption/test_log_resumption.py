"""Lines of logs that go on at another manager."""

import random

import pytest

from shoal.api.v1.control_pb2 import LogSource, LogsRequest, LogsResponse
from shoal.api.v1.streams_pb2 import LogBatch, LogChunk
from shoal.logs.log_lines import timestamp_bytes
from shoal.resumption.log_resumption import OVERLAP_NS, LogResumption

SECOND = 10**9
START = 1_800_000_000 * SECOND


def line(text: str, at_ns: int) -> bytes:
    return timestamp_bytes(at_ns) + b" stdout F " + text.encode() + b"\n"


def batch(task: str, *lines: bytes) -> LogsResponse:
    return LogsResponse(batch=LogBatch(chunks=[LogChunk(task_id=task, lines=b"".join(lines))]))


def texts(answer: LogsResponse | None) -> list[str]:
    chunks = answer.batch.chunks if answer is not None else []
    return [row.rpartition(b" ")[2].decode() for chunk in chunks for row in chunk.lines.splitlines()]


def begun(**fields: object) -> LogResumption:
    resumption = LogResumption(LogsRequest(target="web", follow=True, **fields), started_ns=START)  # type: ignore[arg-type]
    resumption.request()
    return resumption


def test_a_log_without_lines_is_asked_for_as_before() -> None:
    assert begun(tail=5, since_ns=3).request() == LogsRequest(target="web", follow=True, tail=5, since_ns=3)


def test_of_a_log_of_new_lines_alone_none_from_before_is_asked_for() -> None:
    resumed = begun(tail=0).request()
    assert resumed.since_ns == START
    assert not resumed.HasField("tail")


def test_lines_up_to_the_last_one_are_left_out() -> None:
    resumption, at = begun(tail=2), START + 60 * SECOND
    seen = [line("a", at), line("b", at + 1)]
    assert texts(resumption.unseen(batch("t1", *seen))) == ["a", "b"]
    resumed = resumption.request()
    assert (resumed.since_ns, resumed.HasField("tail")) == (at + 1 - OVERLAP_NS, False)
    older = line("never asked for", at - 1)
    assert texts(resumption.unseen(batch("t1", older, *seen, line("c", at + 2)))) == ["c"]
    assert texts(resumption.unseen(batch("t1", line("d", at + 3)))) == ["d"]


def test_lines_of_one_moment_are_counted() -> None:
    resumption, at = begun(), START + 60 * SECOND
    assert texts(resumption.unseen(batch("t1", line("a", at)))) == ["a"]
    assert texts(resumption.unseen(batch("t1", line("b", at)))) == ["b"]
    resumption.request()
    assert texts(resumption.unseen(batch("t1", line("a", at)))) == []
    assert texts(resumption.unseen(batch("t1", line("b", at), line("c", at)))) == ["c"]


def test_each_task_has_its_own_last_line() -> None:
    resumption, at = begun(), START + 60 * SECOND
    resumption.unseen(batch("t1", line("a", at + 5)))
    resumption.unseen(batch("t2", line("x", at)))
    resumption.request()
    assert texts(resumption.unseen(batch("t2", line("x", at), line("y", at + 1)))) == ["y"]
    assert texts(resumption.unseen(batch("t3", line("new", at - 1)))) == ["new"]


def test_a_task_is_introduced_once_and_empty_batches_are_passed_on() -> None:
    resumption = begun()
    source = LogsResponse(source=LogSource(task_id="t1"))
    assert resumption.unseen(source) == source
    resumption.unseen(batch("t1", line("a", START)))
    resumption.request()
    assert resumption.unseen(source) is None
    assert resumption.unseen(batch("t1")) is not None
    assert resumption.unseen(LogsResponse(warning="node h2 is down")) is not None


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_cut_off_each_line_comes_once(seed: int) -> None:
    chance = random.Random(seed)
    resumption = LogResumption(LogsRequest(target="web", follow=True), started_ns=START)
    at, log = START, list[tuple[str, int, bytes]]()
    for number in range(300):
        at += chance.choice((0, 0, 1, SECOND))
        log.append((str(number), at, line(str(number), at)))
    shown, end = list[str](), 0
    while end < len(log):
        end = min(len(log), end + chance.randrange(1, 80))
        rows = [row for _, moment, row in log[:end] if moment >= resumption.request().since_ns]
        while rows:
            size = chance.randrange(1, 10)
            shown += texts(resumption.unseen(batch("t1", *rows[:size])))
            rows = rows[size:]
    assert shown == [text for text, _, _ in log]
