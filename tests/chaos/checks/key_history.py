"""Invariant 2: what may happen to a key in the course of time. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from shoal.api.v1.cluster_pb2 import Epoch, PlanSequence
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from tests.chaos.violation import Violation

ROOT = "/shoal/v1/"
TASKS, STATUSES = f"{ROOT}tasks/", f"{ROOT}status/"
LEADER, SEQUENCE, CLUSTER = f"{ROOT}leader", f"{ROOT}plan-sequence", f"{ROOT}cluster"
EPOCHS = f"{ROOT}epochs/"
_IDS = ("services", "revisions", "containers", "volumes", "networks")
ONCE = (TASKS, STATUSES, *(f"{ROOT}{each}/" for each in _IDS))
"""Keys that hold an id: one that was deleted never returns."""
_ENDED = frozenset(
    {TaskState.COMPLETE, TaskState.SHUTDOWN, TaskState.FAILED, TaskState.REJECTED, TaskState.REMOVE, TaskState.ORPHANED}
)


@dataclass(frozen=True)
class KeyEvent:
    """A change of a key.

    Attributes:
        revision: of etcd; all events of one happened at once.
        value: None: it was deleted.
        create_revision: at which the key was made; of a deletion, 0.
        at: when it was seen, seconds since the Unix epoch.
    """

    revision: int
    key: str
    value: bytes | None
    create_revision: int
    at: float


def check_history(events: Sequence[KeyEvent], restored: int = 0) -> Iterator[Violation]:
    """What should not have happened.

    Args:
        events: since the cluster's beginning, or that of an epoch, by revision.
        restored: revision up to which a restoration has written what was before.
    """
    yield from _check_order(events)
    yield from _check_returns(events)
    yield from _check_tasks(events)
    yield from _check_statuses(events)
    yield from _check_terms(events, restored)


def _check_order(events: Iterable[KeyEvent]) -> Iterator[Violation]:
    newest = 0
    for event in events:
        if event.revision < newest:
            yield Violation(2, f"revision {event.revision} after {newest}: etcd went back", event.at)
        newest = max(newest, event.revision)


def _check_returns(events: Iterable[KeyEvent]) -> Iterator[Violation]:
    deleted: set[str] = set()
    for event in events:
        if not event.key.startswith(ONCE):
            continue
        if event.value is None:
            deleted.add(event.key)
        elif event.key in deleted:
            deleted.discard(event.key)
            yield Violation(2, f"{event.key} returned after its deletion, revision {event.revision}", event.at)


def _check_tasks(events: Iterable[KeyEvent]) -> Iterator[Violation]:
    known: dict[str, Task] = {}
    for event in events:
        if not event.key.startswith(TASKS):
            continue
        if event.value is None:
            known.pop(event.key, None)
            continue
        new, old = Task.FromString(event.value), known.get(event.key)
        known[event.key] = new
        if old is not None:
            yield from (Violation(2, f"task {new.id}: {what}", event.at) for what in _task_faults(old, new))


def _task_faults(old: Task, new: Task) -> Iterator[str]:
    if old.node_id and new.node_id != old.node_id:
        yield f"its node changed from {old.node_id} to {new.node_id or 'none'}"
    if new.desired_state < old.desired_state:
        yield f"its desired state went back from {_state(old.desired_state)} to {_state(new.desired_state)}"
    if (new.service_id, new.slot) != (old.service_id, old.slot):
        yield f"it moved from slot {old.service_id}.{old.slot} to {new.service_id}.{new.slot}"


def _check_statuses(events: Iterable[KeyEvent]) -> Iterator[Violation]:
    known: dict[str, TaskStatus] = {}
    for event in events:
        if not event.key.startswith(STATUSES):
            continue
        if event.value is None:
            known.pop(event.key, None)
            continue
        new, old = TaskStatus.FromString(event.value), known.get(event.key)
        known[event.key] = new
        if old is None:
            continue
        if new.restarts.count < old.restarts.count:
            what = f"restarts by its node went from {old.restarts.count} to {new.restarts.count}"
            yield Violation(2, f"task {new.task_id}: {what}", event.at)
        if new.state == old.state:
            continue
        if new.state < old.state or old.state in _ENDED:
            what = f"its status went from {_state(old.state)} to {_state(new.state)}"
            yield Violation(2, f"task {new.task_id}: {what}", event.at)


def _check_terms(events: Iterable[KeyEvent], restored: int) -> Iterator[Violation]:
    """Each write of the planner is in the term whose number it has, and numbered in it.

    A term's number is the revision at which it began, and what the epoch adds to etcd's revisions.
    """
    term, last, offset = 0, (0, 0), 0
    for revision, together in groupby(events, key=lambda event: event.revision):
        found = list(together)
        offset = revision_offset(found, offset)
        if revision <= restored:
            continue
        by_key = {event.key: event for event in found}
        leader = by_key.get(LEADER)
        if leader is not None:
            begun = leader.create_revision + offset
            if leader.value is not None and begun < term:
                yield Violation(2, f"term {begun} after {term}", leader.at)
            term = begun if leader.value is not None else -term
        sequence = by_key.get(SEQUENCE)
        if sequence is not None and sequence.value is not None:
            plan = PlanSequence.FromString(sequence.value)
            now = (plan.term, plan.number)
            if now <= last:
                yield Violation(2, f"plan {now[1]} of term {now[0]} after {last[1]} of {last[0]}", sequence.at)
            if term > 0 and plan.term != term:
                yield Violation(2, f"a plan of term {plan.term} in term {term}", sequence.at)
            if term < 0:
                yield Violation(2, f"a plan of term {plan.term} after the end of term {-term}", sequence.at)
            last = now
        elif any(event.key.startswith(TASKS) for event in found):
            keys = ", ".join(sorted(key for key in by_key if key.startswith(TASKS)))
            yield Violation(2, f"{keys} written outside a plan, revision {found[0].revision}", found[0].at)


def revision_offset(events: Sequence[KeyEvent], before: int = 0) -> int:
    """What is added to etcd's revisions to make versions and terms of them, by an epoch's newest record.

    Args:
        before: what it was before these events.
    """
    found = [each.value for each in events if each.key.startswith(EPOCHS) and each.value is not None]
    return Epoch.FromString(found[-1]).revision_offset if found else before


def _state(number: int) -> str:
    return TaskState.Name(number).lower() if number in TaskState.values() else str(number)  # type: ignore[arg-type]
