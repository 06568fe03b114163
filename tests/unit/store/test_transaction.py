"""Bounds, refusals and lost answers of transactions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.store.backend import KeyValue, TxnResult
from manager.store.changes import ABSENT, Write, delete, expect, put
from manager.store.kinds import LEADER, NODE, TASK
from manager.store.transaction import (
    MAX_BYTES,
    MAX_OPERATIONS,
    batches,
    build,
    committed_at,
    next_batch,
    operation,
    rejection,
    size,
)
from shoal.api.v1.task_pb2 import Task
from shoal.errors import Conflict, Exhausted, InvalidInput, LeadershipLost


def task(identifier: str, size: int = 0) -> Write:
    return put(TASK, identifier, Task(id=identifier, reason="x" * size))


def record(write: Write, revision: int) -> dict[bytes, KeyValue]:
    key = write.kind.key(write.identifier)
    assert write.value is not None
    return {key: KeyValue(key, write.value.SerializeToString(), revision, revision, 0)}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 400_000)), max_size=40))
def test_batches_keep_the_order_and_the_bounds(shape: list[tuple[int, int]]) -> None:
    writes = [task(str(identifier), size) for identifier, size in shape]
    split = list(batches(writes, fence=1))
    assert [write for batch in split for write in batch.writes] == writes
    for batch in split:
        assert batch == build(batch.writes, (), 1)


def test_batches_are_full() -> None:
    split = batches([task(str(number)) for number in range(2 * MAX_OPERATIONS + 1)])
    sizes = [len(batch.writes) for batch in split]
    assert sizes == [MAX_OPERATIONS, MAX_OPERATIONS, 1]


@pytest.mark.parametrize("operations", [0, -1])
def test_an_etcd_that_accepts_too_few_operations_is_told_and_not_waited_for(operations: int) -> None:
    """A batch of none would be repeated for ever."""
    with pytest.raises(InvalidInput, match="start etcd with --max-txn-ops=1024"):
        next_batch([task("a")], max_operations=operations)


def test_one_write_that_is_too_large_is_told_when_built() -> None:
    large = task("a", MAX_BYTES)
    assert size(operation(large)) > MAX_BYTES
    with pytest.raises(Exhausted, match="the maximum is 1048576 bytes"):
        build([large], (), None)
    split = batches([task("b"), large])
    assert next(split).writes == [task("b")]
    with pytest.raises(Exhausted, match="the maximum is 1048576 bytes"):
        next(split)


def test_record_named_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="twice"):
        build([task("a"), delete(TASK, "a")], (), None)


def test_refusal_names_the_fence_before_the_records() -> None:
    transaction = build([task("a")], [expect(TASK, "a", ABSENT)], 7)
    key = LEADER.key("")
    assert isinstance(rejection(transaction, TxnResult(False, 9, record(task("a"), 8))), LeadershipLost)
    leader = {key: KeyValue(key, b"", 9, 7, 0)}
    rejected = rejection(transaction, TxnResult(False, 9, leader | record(task("a"), 8)))
    assert isinstance(rejected, Conflict)
    assert str(rejected) == "task a already exists"


def test_refusal_tells_a_deleted_record() -> None:
    rejected = rejection(build([task("a")], [expect(NODE, "n", 4)], None), TxnResult(False, 9))
    assert "node n no longer exists" in str(rejected)


def test_lost_answer_is_found_by_bytes_and_revision() -> None:
    writes = [task("a"), task("b"), delete(TASK, "c")]
    transaction = build(writes, (), None)
    made = record(writes[0], 8) | record(writes[1], 8)
    assert committed_at(transaction, made, {}, 9) == 8
    assert committed_at(transaction, made, {TASK.key("a"): 8}, 9) is None, "it was there before"
    assert committed_at(transaction, record(writes[0], 8) | record(writes[1], 7), {}, 9) is None, "two transactions"
    assert committed_at(transaction, made | record(task("c"), 5), {}, 9) is None, "not deleted"
    assert committed_at(transaction, record(writes[0], 8), {}, 9) is None, "one is missing"
    assert committed_at(transaction, made | record(task("b", 3), 8), {}, 9) is None, "another's bytes"
