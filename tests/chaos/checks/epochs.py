"""What a recovery or a restoration takes back, and what must not come back all the same. Pure.

`shoal-manager recover` and `restore` begin an epoch of the cluster: etcd is as it was at some revision, and what
happened later has not happened. The checker judges each epoch's history for itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from shoal.api.v1.file_pb2 import File
from tests.chaos.checks.key_history import CLUSTER, ONCE, ROOT, KeyEvent, revision_offset
from tests.chaos.history import FAIL, INVOKE, Operation
from tests.chaos.violation import Violation
from tests.chaos.workload.writer import LABEL, LEDGER, WRITER, written_number

_CONFIGS = f"{ROOT}configs/"
_IDS = tuple(each for each in ONCE if each != f"{ROOT}revisions/")
"""A service's revisions are numbered, from the newest that is there."""
Effect = tuple[str, int]
"""A kind of write of the writer's, and its number."""


@dataclass(frozen=True)
class FormerEpoch:
    """An epoch that has ended.

    Attributes:
        events: all that was seen of it.
        kept: revision of the newest change that was not taken back.
    """

    events: Sequence[KeyEvent]
    kept: int

    @property
    def undone(self) -> list[KeyEvent]:
        return [each for each in self.events if each.revision > self.kept]


def restored(events: Sequence[KeyEvent]) -> int:
    """Revision up to which a restoration has written what was before; 0: the epoch began otherwise.

    The cluster's record comes last; a cluster that is created begins with it.
    """
    cluster = next((each for each in events if each.key == CLUSTER), None)
    if cluster is None or cluster.value is None or not any(each.revision < cluster.revision for each in events):
        return 0
    return cluster.revision


def undone_writes(epochs: Sequence[FormerEpoch]) -> set[Effect]:
    """Writes of the writer that were made, and taken back."""
    found: set[Effect] = set()
    for epoch in epochs:
        names: dict[str, str] = {}
        for event in epoch.events:
            if event.key.startswith(_CONFIGS):
                effect = _effect(event, names)
                if effect is not None and event.revision > epoch.kept:
                    found.add(effect)
    return found


def _effect(event: KeyEvent, names: dict[str, str]) -> Effect | None:
    if event.value is None:
        number = written_number(names.get(event.key, ""))
        return ("remove-config", number) if number else None
    file = File.FromString(event.value)
    is_new = event.key not in names
    names[event.key] = file.spec.name
    if file.spec.name == LEDGER:
        return "label-config", int(file.spec.labels.get(LABEL, "0"))
    number = written_number(file.spec.name)
    return ("create-config", number) if number and is_new else None


def as_if_never_made(operations: Sequence[Operation], undone: set[Effect]) -> list[Operation]:
    """The history in which a write that was taken back has failed, whatever its answer was."""
    return [
        replace(each, type=FAIL, error="taken back")
        if each.process == WRITER and each.type != INVOKE and (each.f, each.value) in undone
        else each
        for each in operations
    ]


def check_epochs(epochs: Sequence[FormerEpoch], now: Sequence[KeyEvent]) -> Iterator[Violation]:
    """Ids that were given in a part of history that was taken back, and given again."""
    later = [epoch.events for epoch in epochs[1:]] + [now]
    for number, epoch in enumerate(epochs):
        before = {each.key for each in epoch.events if each.revision <= epoch.kept}
        ids = {each.key for each in epoch.undone if each.key.startswith(_IDS)} - before
        for events in later[number:]:
            again = {each.key: each for each in events if each.key in ids and each.value is not None}
            for key, event in sorted(again.items()):
                yield Violation(1, f"{key} returned after it was taken back, revision {event.revision}", event.at)


def check_versions(epochs: Sequence[FormerEpoch], now: Sequence[KeyEvent]) -> Iterator[Violation]:
    """Each epoch's versions are higher than all of the one before: an update that names an older one is refused."""
    former = 0
    for events in [*(epoch.events for epoch in epochs), now]:
        offset = revision_offset(events)
        if former and offset < former:
            what = f"versions begin anew above {offset} in an epoch, after one that had version {former}"
            yield Violation(1, what, events[-1].at if events else 0.0)
        former = max([former, *(each.revision + offset for each in events)])
