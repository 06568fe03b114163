"""The versioned comes to the same tables whatever comes first: the commits' answers or the watch."""

from hypothesis import given
from hypothesis import strategies as st

from manager.store.backend import KeyEvent
from manager.store.changes import Change, Write, delete, put
from manager.store.kinds import SERVICE, TASK
from manager.store.tables import Tables
from manager.store.transaction import operation
from manager.store.versioned_tables import VersionedTables, encode
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.service_pb2 import Service, ServiceSpec
from shoal.api.v1.task_pb2 import Task

IDENTIFIERS = ("a", "b", "c")
# One transaction a revision: which task it writes, and whether it deletes it.
HISTORIES = st.lists(st.tuples(st.sampled_from(IDENTIFIERS), st.booleans()), max_size=12)


def task(identifier: str, revision: int) -> Task:
    return Task(id=identifier, service_id="s", attempt=revision)


def event(identifier: str, deleted: bool, revision: int) -> KeyEvent:
    value = None if deleted else task(identifier, revision).SerializeToString()
    return KeyEvent(TASK.key(identifier), value, revision)


def apply(versioned: VersionedTables, write: Write, revision: int) -> tuple[Change, ...]:
    return versioned.apply_writes([write], [operation(write)], revision)


def replay(changes: list[Change]) -> dict[str, Task]:
    """The tables as a follower builds them; checks that each change starts where the former one ended."""
    rows: dict[str, Task] = {}
    for change in changes:
        assert rows.get(change.identifier) == change.old
        assert isinstance(change.new, Task | None)
        if change.new is None:
            del rows[change.identifier]
        else:
            rows[change.identifier] = change.new
    return rows


@given(history=HISTORIES, data=st.data())
def test_any_interleaving_of_answers_and_watch_gives_the_last_state(
    history: list[tuple[str, bool]], data: st.DataObject
) -> None:
    watched = [(revision, False, *step) for revision, step in enumerate(history, 1)]
    own = data.draw(st.permutations([step for step in watched if data.draw(st.booleans())]))
    order = data.draw(st.permutations([True] * len(own) + [False] * len(watched)))
    versioned = VersionedTables(Tables())
    changes: list[Change] = []
    answers, events = iter(own), iter(watched)
    for is_answer in order:
        revision, _, identifier, deleted = next(answers if is_answer else events)
        if is_answer:
            write = delete(TASK, identifier) if deleted else put(TASK, identifier, task(identifier, revision))
            changes += apply(versioned, write, revision)
        else:
            changes += versioned.apply_events([event(identifier, deleted, revision)], revision)
            versioned.mark_watched(revision)
    final = {identifier: (deleted, revision) for revision, _, identifier, deleted in watched}
    assert dict(versioned.tables.tasks) == {
        i: task(i, revision) for i, (deleted, revision) in final.items() if not deleted
    }
    assert replay(changes) == dict(versioned.tables.tasks)
    for identifier, (deleted, revision) in final.items():
        assert versioned.version_of(TASK, identifier) == (0 if deleted else revision)


def test_listing_deletes_what_it_lacks_but_not_what_was_written_later() -> None:
    versioned = VersionedTables(Tables())
    versioned.apply_events([event("a", False, 5), event("b", False, 6)], 6)
    apply(versioned, put(TASK, "c", task("c", 9)), 9)
    assert versioned.deletions({TASK.key("b")}, 8) == [KeyEvent(TASK.key("a"), None, 8)]


def test_the_callers_message_stays_as_it_is() -> None:
    service = Service(meta=Meta(id="s", version=3), spec=ServiceSpec(name="web"))
    versioned = VersionedTables(Tables())
    apply(versioned, put(SERVICE, "s", service), 8)
    assert service.meta.version == 3
    assert versioned.tables.services["s"].meta.version == 8
    assert Service.FromString(encode(SERVICE, service)).meta == Meta(id="s")
