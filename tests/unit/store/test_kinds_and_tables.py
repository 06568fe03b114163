"""Keys lead back to their kinds, and the tables' indexes follow every change."""

import pytest
from google.protobuf.message import Message

from manager.store import kinds
from manager.store.changes import Change
from manager.store.kinds import KINDS, Kind, parse_key
from manager.store.tables import Tables
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.service_pb2 import Service, ServiceSpec
from shoal.api.v1.standalone_pb2 import Container
from shoal.api.v1.task_pb2 import Task

SINGLETONS = (
    kinds.BACKUP_SCHEDULE,
    kinds.BACKUP_STATUS,
    kinds.CLUSTER,
    kinds.CLUSTER_SETTINGS,
    kinds.LEADER,
    kinds.OVERLAY_KEYS,
    kinds.PLAN_SEQUENCE,
    kinds.STATE_FORMAT,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_key_leads_back_to_its_kind(kind: Kind[Message]) -> None:
    identifier = "" if kind in SINGLETONS else "0123456789abc"
    assert parse_key(kind.key(identifier)) == (kind, identifier)


@pytest.mark.parametrize("key", [b"/shoal/v1/", b"/shoal/v1/cluster2", b"/shoal/v1/novelties/x", b"/shoal/v1/nodes/x"])
def test_other_keys_are_of_no_kind(key: bytes) -> None:
    assert parse_key(key) is None


def change_task(tables: Tables, new: Task | None) -> None:
    tables.apply((Change(kinds.TASK, "t", tables.tasks.get("t"), new),), 1)  # type: ignore[arg-type]  # see KINDS


def test_tasks_are_found_by_service_and_node() -> None:
    tables = Tables()
    change_task(tables, Task(id="t", service_id="s"))
    assert tables.tasks_of("s").keys() == {"t"}
    change_task(tables, Task(id="t", service_id="s", node_id="n"))
    assert tables.tasks_on("n").keys() == {"t"}
    change_task(tables, None)
    assert not tables.tasks_of("s")
    assert not tables.tasks_on("n")


def test_name_taken_over_stays_with_its_new_owner() -> None:
    tables = Tables()
    for identifier, old, new in (
        ("a", None, "web"),
        ("b", None, "web"),
        ("a", "web", "other"),
    ):
        before, after = (name and Service(meta=Meta(id=identifier), spec=ServiceSpec(name=name)) for name in (old, new))
        tables.apply((Change(kinds.SERVICE, identifier, before or None, after or None),), 1)  # type: ignore[arg-type]  # see KINDS
    assert tables.service_named("web") == tables.services["b"]
    assert tables.service_named("other") == tables.services["a"]


def test_containers_are_found_by_name_also_when_two_swap_theirs() -> None:
    tables = Tables()
    for identifier, old, new in (("a", "", "one"), ("b", "", "two"), ("a", "one", "two"), ("b", "two", "one")):
        before = Container(meta=Meta(id=identifier), name=old) if old else None
        after = Container(meta=Meta(id=identifier), name=new)
        tables.apply((Change(kinds.CONTAINER, identifier, before, after),), 1)  # type: ignore[arg-type]  # see KINDS
    assert tables.container_named("one") == tables.containers["b"]
    assert tables.copy().container_named("two") == tables.containers["a"]
