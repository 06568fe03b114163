"""After a recovery or a restoration: what it took back is not missed, what it kept is, and no id is given twice."""

from dataclasses import replace

from google.protobuf.message import Message

from manager.store.kinds import CLUSTER as CLUSTER_KIND
from manager.store.kinds import EPOCH as EPOCH_KIND
from shoal.api.v1.cluster_pb2 import Cluster, Epoch
from shoal.api.v1.file_pb2 import File, FileSpec
from shoal.api.v1.task_pb2 import Task, TaskState
from tests.chaos.checks.epochs import (
    FormerEpoch,
    as_if_never_made,
    check_epochs,
    check_versions,
    restored,
    undone_writes,
)
from tests.chaos.checks.key_history import CLUSTER, EPOCHS, ROOT, TASKS, KeyEvent, check_history
from tests.chaos.checks.writes import check_writes
from tests.chaos.history import INVOKE, OK, Operation
from tests.chaos.workload.writer import LABEL, LEDGER, WRITER, config_name, written_number


def event(revision: int, key: str, record: Message | None) -> KeyEvent:
    return KeyEvent(revision, key, None if record is None else record.SerializeToString(), revision, float(revision))


def config(revision: int, number: int, *, is_there: bool = True) -> KeyEvent:
    spec = FileSpec(name=config_name(number))
    return event(revision, f"{ROOT}configs/id-{number}", File(spec=spec) if is_there else None)


def ledger(revision: int, number: int) -> KeyEvent:
    spec = FileSpec(name=LEDGER, labels={LABEL: str(number)})
    return event(revision, f"{ROOT}configs/id-ledger", File(spec=spec))


def acknowledged(kind: str, number: int) -> list[Operation]:
    return [Operation(1.0, WRITER, each, kind, number) for each in (INVOKE, OK)]


BEFORE = [config(1, 1), ledger(2, 2), config(3, 3), config(4, 1, is_there=False), ledger(5, 5), config(6, 6)]


def test_which_writes_were_taken_back() -> None:
    assert undone_writes([FormerEpoch(BEFORE, 6)]) == set()
    assert undone_writes([FormerEpoch(BEFORE, 3)]) == {("remove-config", 1), ("label-config", 5), ("create-config", 6)}
    assert written_number(LEDGER) == 0
    assert written_number(config_name(12)) == 12


def test_what_was_taken_back_is_not_missed_and_what_was_kept_is() -> None:
    writes = [
        *acknowledged("create-config", 1),
        *acknowledged("label-config", 2),
        *acknowledged("create-config", 3),
        *acknowledged("remove-config", 1),
        *acknowledged("label-config", 5),
        *acknowledged("create-config", 6),
    ]
    made = as_if_never_made(writes, undone_writes([FormerEpoch(BEFORE, 3)]))
    records = {}
    for name, label in ((config_name(1), ""), (config_name(3), ""), (LEDGER, "2")):
        file = File(spec=FileSpec(name=name, labels={LABEL: label}))
        file.meta.id = name
        records[f"{ROOT}configs/{name}"] = file.SerializeToString()
        records[f"{ROOT}config-versions/{name}/v1"] = records[f"{ROOT}names/config/{name}"] = b""
    assert [each.what for each in check_writes(made, records)] == []
    assert len(list(check_writes(writes, records))) == 3
    lost = {key: value for key, value in records.items() if config_name(3) not in key}
    assert [each.what for each in check_writes(made, lost)] == [
        f"config {config_name(3)}: is lost, though its creation was acknowledged"
    ]


def test_an_id_that_was_taken_back_is_not_given_again() -> None:
    old, undone, new = (event(number, f"{TASKS}t{number}", Task(id=f"t{number}")) for number in (1, 2, 3))
    epochs = [FormerEpoch([old, undone], 1)]
    assert list(check_epochs(epochs, [old, new])) == []
    assert [each.what for each in check_epochs(epochs, [old, event(7, undone.key, Task(id="t2"))])] == [
        f"{TASKS}t2 returned after it was taken back, revision 7"
    ]
    revision = event(2, f"{ROOT}revisions/s/3", None)
    again = replace(revision, revision=7, value=b"other")
    assert list(check_epochs([FormerEpoch([old, revision], 1)], [old, again])) == [], "its number is no id"
    later = FormerEpoch([old, event(7, undone.key, Task(id="t2"))], 9)
    assert len(list(check_epochs([*epochs, later], [old]))) == 1


def epoch(revision: int, number: int, offset: int = 0) -> KeyEvent:
    return event(revision, f"{EPOCHS}e{number}", Epoch(id=f"e{number}", revision_offset=offset))


def test_versions_of_an_epoch_are_higher_than_all_before() -> None:
    first = [epoch(1, 1), *(replace(each, revision=each.revision + 1) for each in BEFORE)]
    kept = [epoch(1, 1), config(2, 1), ledger(3, 2)]
    restored_again = [*kept[1:], epoch(4, 2, offset=7), ledger(5, 9)]
    recovered = [*kept, epoch(4, 2, offset=7), event(4, f"{EPOCHS}e1", None), ledger(5, 9)]
    assert list(check_versions([], first)) == []
    assert list(check_versions([FormerEpoch(first, 3)], restored_again)) == []
    assert list(check_versions([FormerEpoch(first, 3)], recovered)) == []
    for now in ([*kept, ledger(5, 9)], [*kept[1:], epoch(4, 2, offset=6)]):
        (found,) = check_versions([FormerEpoch(first, 3)], now)
        assert "versions begin anew above" in found.what and found.what.endswith("after one that had version 7")
    third = [epoch(1, 3, offset=11), ledger(2, 10)]
    assert len(list(check_versions([FormerEpoch(first, 3), FormerEpoch(restored_again, 3)], third))) == 1
    third = [epoch(1, 3, offset=12), ledger(2, 10)]
    assert list(check_versions([FormerEpoch(first, 3), FormerEpoch(restored_again, 3)], third)) == []


def test_the_checkers_key_is_the_stores() -> None:
    assert EPOCH_KIND.key("").decode() == EPOCHS


def test_what_a_restoration_writes_needs_no_plan() -> None:
    task = event(1, f"{TASKS}t", Task(id="t", desired_state=TaskState.RUNNING))
    cluster = event(2, CLUSTER, Cluster())
    outside = event(3, f"{TASKS}u", Task(id="u"))
    assert CLUSTER_KIND.key("").decode() == CLUSTER
    assert restored([task, cluster]) == 2
    assert restored([cluster, outside]) == 0
    assert len(list(check_history([task, cluster]))) == 1
    assert list(check_history([task, cluster], restored([task, cluster]))) == []
    found = list(check_history([task, cluster, outside], restored([task, cluster, outside])))
    assert [each.what for each in found] == [f"{TASKS}u written outside a plan, revision 3"]
