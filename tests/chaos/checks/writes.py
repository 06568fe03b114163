"""Invariant 1: what was acknowledged is there, what may have been made is there whole or not at all. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shoal.api.v1.file_pb2 import File
from tests.chaos.checks.key_history import ROOT
from tests.chaos.history import FAIL, INFO, INVOKE, OK, Operation
from tests.chaos.violation import Violation
from tests.chaos.workload.writer import LABEL, LEDGER, WRITER, config_name

_CONFIGS = f"{ROOT}configs/"
_VERSIONS = f"{ROOT}config-versions/"
_NAMES = f"{ROOT}names/config/"


@dataclass(frozen=True)
class _Outcomes:
    """Of the writes of one number: what became of its creation and of its removal; empty: not tried."""

    created: str = ""
    removed: str = ""
    at: float = 0.0


def check_writes(operations: Sequence[Operation], records: Mapping[str, bytes]) -> Iterator[Violation]:
    """What the history of the writer and the records at the end say differently.

    Args:
        records: by key.
    """
    found = _by_name(records)
    expected = _outcomes(operations)
    for number, outcomes in expected.items():
        what = _fault(outcomes, config_name(number) in found)
        if what:
            yield Violation(1, f"config {config_name(number)}: {what}", outcomes.at)
    known = {config_name(number) for number in expected} | {LEDGER}
    for name, file in found.items():
        if name not in known and name.startswith(config_name(0)[:-1]):
            yield Violation(1, f"config {name} was never written")
        yield from (Violation(1, f"config {name}: {what}") for what in _halves(name, file, records))
    for key in records:
        if key.startswith(_NAMES) and key.removeprefix(_NAMES) not in found:
            yield Violation(1, f"name {key} without its config")
    yield from _check_ledger(operations, found)


def _by_name(records: Mapping[str, bytes]) -> dict[str, File]:
    files = [File.FromString(value) for key, value in records.items() if key.startswith(_CONFIGS)]
    return {file.spec.name: file for file in files}


def _outcomes(operations: Sequence[Operation]) -> dict[int, _Outcomes]:
    found: dict[int, _Outcomes] = {}
    for each in operations:
        if each.process != WRITER or each.f not in ("create-config", "remove-config"):
            continue
        old = found.get(each.value, _Outcomes())
        # An operation that did not end is one of which nothing is known.
        outcome = INFO if each.type == INVOKE else each.type
        if each.f == "create-config":
            found[each.value] = _Outcomes(outcome, old.removed, each.at)
        else:
            found[each.value] = _Outcomes(old.created, outcome, each.at)
    return found


def _fault(outcomes: _Outcomes, is_there: bool) -> str:
    if outcomes.removed == OK:
        return "is there, though its removal was acknowledged" if is_there else ""
    if outcomes.removed == INFO:
        return ""
    if outcomes.created == OK and not is_there:
        return "is lost, though its creation was acknowledged"
    if outcomes.created == FAIL and is_there:
        return "is there, though its creation was said to have failed"
    return ""


def _halves(name: str, file: File, records: Mapping[str, bytes]) -> Iterator[str]:
    if f"{_NAMES}{name}" not in records:
        yield "its name is not reserved"
    if not any(key.startswith(f"{_VERSIONS}{file.meta.id}/") for key in records):
        yield "it has no version"


def _check_ledger(operations: Sequence[Operation], found: Mapping[str, File]) -> Iterator[Violation]:
    writes = [each for each in operations if each.process == WRITER and each.f == "label-config"]
    possible, at = {0}, 0.0
    for each in writes:
        if each.type == OK:
            possible, at = {each.value}, each.at
        elif each.type == INVOKE:
            possible.add(each.value)
        elif each.type == FAIL:
            possible.discard(each.value)
    if LEDGER not in found:
        yield Violation(1, f"config {LEDGER} is lost", at)
        return
    number = int(found[LEDGER].spec.labels.get(LABEL, "-1"))
    if number not in possible:
        allowed = ", ".join(map(str, sorted(possible)))
        yield Violation(1, f"the ledger says {number}, and {allowed} would be right", at)
