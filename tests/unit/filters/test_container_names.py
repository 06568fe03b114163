"""The filter of containers by name: a part, or with anchors as people write them for Docker."""

import pytest

from shoal.api.v1.engine_pb2 import ContainerView
from shoal.container_states import state_text
from shoal.filters.container_filters import container_filters

NAMES = ("db", "db2", "mydb", "web")


def named(name: str) -> ContainerView:
    view = ContainerView()
    view.container.name = name
    return view


def test_a_service_gives_its_one_container_a_name() -> None:
    view = named("shop_db.1.0t1t2w3r4k5x6")
    view.container.definition.task.container.name = "postgres"
    keeps = container_filters(state_text).parse(["name=^postgres$"])
    assert keeps(view)
    view.container.meta.id = "0c1t2w3r4k5x6"  # of one's own it says nothing
    assert not keeps(view)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("db", ["db", "db2", "mydb"]),
        ("^db", ["db", "db2"]),
        ("^/db", ["db", "db2"]),
        ("db$", ["db", "mydb"]),
        ("^db$", ["db"]),
        ("^/db$", ["db"]),
        ("/db", ["db", "db2"]),
        ("x", []),
    ],
)
def test_names(value: str, found: list[str]) -> None:
    keeps = container_filters(state_text).parse([f"name={value}"])
    assert [name for name in NAMES if keeps(named(name))] == found
