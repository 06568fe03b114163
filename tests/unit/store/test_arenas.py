"""Many records parsed at once are what they are when parsed one by one."""

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from manager.store import arenas
from manager.store.backend import KeyEvent
from manager.store.kinds import NODE, TASK, TASK_STATUS, Kind
from manager.store.tables import Tables
from manager.store.versioned_tables import UnreadableRecord, VersionedTables, decode_all
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import Node
from shoal.api.v1.task_pb2 import Task, TaskStatus

texts = st.text(max_size=400)
tasks = st.builds(Task, id=texts, service_id=texts, slot=st.integers(0, 2**32 - 1), reason=texts)


def task(number: int) -> Task:
    made = Task(id=f"t{number}", service_id="web", slot=number)
    made.addresses.add(network_id="front", address=f"10.0.0.{number % 250}")
    return made


def event(kind: Kind[Message], identifier: str, value: Message | None, revision: int) -> KeyEvent:
    return KeyEvent(kind.key(identifier), value.SerializeToString() if value is not None else None, revision)


@given(st.lists(tasks, max_size=200))
def test_the_same_as_one_by_one(rows: list[Task]) -> None:
    assert arenas.parse(TASK, [row.SerializeToString() for row in rows]) == rows  # type: ignore[arg-type]


def test_events_of_all_kinds_in_their_order() -> None:
    versioned = VersionedTables(Tables())
    events = [event(TASK, f"t{number}", task(number), number + 1) for number in range(150)]  # type: ignore[arg-type]
    events.insert(70, event(NODE, "h1", Node(meta=Meta(id="h1")), 70))  # type: ignore[arg-type]
    events.append(event(TASK, "t3", None, 200))  # type: ignore[arg-type]
    events.append(event(TASK, "t3", task(3), 201))  # type: ignore[arg-type]
    events.append(event(TASK, "t4", None, 202))  # type: ignore[arg-type]
    changes = versioned.apply_events(events, 202)
    assert len(changes) == 154
    assert versioned.tables.tasks["t3"] == task(3)
    assert "t4" not in versioned.tables.tasks
    assert len(versioned.tables.tasks) == 149
    assert versioned.tables.nodes["h1"].meta.version == 70
    assert versioned.apply_events(events, 202) == ()


def test_what_cannot_be_read_is_named() -> None:
    events = [event(TASK_STATUS, f"t{n}", TaskStatus(task_id=f"t{n}"), n) for n in range(1, 30)]  # type: ignore[arg-type]
    events[17] = KeyEvent(TASK_STATUS.key("t18"), b"\xff\xff", 18)
    with pytest.raises(UnreadableRecord, match="status/t18 "):
        decode_all(TASK_STATUS, events)  # type: ignore[arg-type]


def test_a_row_cannot_reach_into_the_next_one() -> None:
    """A record whose bytes end too soon is refused, not completed by its neighbour's."""
    values = [task(number).SerializeToString() for number in range(20)]
    values[5] = values[5][:-3]
    events = [KeyEvent(TASK.key(f"t{number}"), value, number + 1) for number, value in enumerate(values)]
    with pytest.raises(UnreadableRecord, match="tasks/t5 "):
        decode_all(TASK, events)  # type: ignore[arg-type]
