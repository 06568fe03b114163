"""Acknowledged writes that are lost, and those that are half there, are found."""

from shoal.api.v1.file_pb2 import File, FileSpec
from shoal.api.v1.meta_pb2 import Meta
from tests.chaos.checks.key_history import ROOT
from tests.chaos.checks.writes import check_writes
from tests.chaos.history import FAIL, INFO, INVOKE, OK, Operation
from tests.chaos.workload.writer import LABEL, LEDGER, WRITER, config_name


def wrote(kind: str, number: int, *outcome: str) -> list[Operation]:
    """An operation's lines; without an outcome it did not end."""
    return [Operation(1.0, WRITER, each, kind, number) for each in (INVOKE, *outcome)]


def stored(*numbers: int, ledger: int = 0) -> dict[str, bytes]:
    """Records of these configs, and of the ledger."""
    names = {config_name(number): number for number in numbers} | {LEDGER: ledger}
    records = {}
    for name, number in names.items():
        spec = FileSpec(name=name, labels={LABEL: str(number)})
        records[f"{ROOT}configs/id-{name}"] = File(meta=Meta(id=f"id-{name}"), spec=spec).SerializeToString()
        records[f"{ROOT}config-versions/id-{name}/v1"] = b""
        records[f"{ROOT}names/config/{name}"] = b""
    return records


def found(operations: list[Operation], records: dict[str, bytes]) -> list[str]:
    return [each.what for each in check_writes(operations, records)]


def test_what_was_acknowledged_is_there() -> None:
    assert found(wrote("create-config", 1, OK), stored(1)) == []
    assert found(wrote("create-config", 1, OK), stored()) == [
        "config written-1: is lost, though its creation was acknowledged"
    ]
    removed = wrote("create-config", 1, OK) + wrote("remove-config", 1, OK)
    assert found(removed, stored()) == []
    assert found(removed, stored(1)) == ["config written-1: is there, though its removal was acknowledged"]


def test_what_failed_is_not_there() -> None:
    assert found(wrote("create-config", 1, FAIL), stored()) == []
    assert found(wrote("create-config", 1, FAIL), stored(1)) == [
        "config written-1: is there, though its creation was said to have failed"
    ]


def test_what_may_have_been_made_is_whole_or_absent() -> None:
    for outcome in ((INFO,), ()):
        assert found(wrote("create-config", 1, *outcome), stored()) == []
        assert found(wrote("create-config", 1, *outcome), stored(1)) == []
    half = stored(1)
    del half[f"{ROOT}names/config/written-1"]
    assert found(wrote("create-config", 1, INFO), half) == ["config written-1: its name is not reserved"]
    half = stored(1)
    del half[f"{ROOT}config-versions/id-written-1/v1"]
    assert found(wrote("create-config", 1, INFO), half) == ["config written-1: it has no version"]
    half = stored(1)
    del half[f"{ROOT}configs/id-written-1"]
    assert found(wrote("create-config", 1, INFO), half) == [f"name {ROOT}names/config/written-1 without its config"]


def test_nothing_appears_that_nobody_wrote() -> None:
    assert found([], stored(9)) == ["config written-9 was never written"]


def test_the_ledger_has_the_last_acknowledged_write_or_a_later_unknown_one() -> None:
    writes = wrote("label-config", 1, OK) + wrote("label-config", 2, INFO) + wrote("label-config", 3, FAIL)
    assert found(writes, stored(ledger=1)) == []
    assert found(writes, stored(ledger=2)) == []
    assert found(writes, stored(ledger=3)) == ["the ledger says 3, and 1, 2 would be right"]
    assert found(writes + wrote("label-config", 4, OK), stored(ledger=2)) == ["the ledger says 2, and 4 would be right"]
    lost = stored()
    del lost[f"{ROOT}configs/id-{LEDGER}"], lost[f"{ROOT}names/config/{LEDGER}"]
    assert found(writes, lost) == ["config ledger is lost"]
