"""Finding a container by what a user may call it."""

import pytest

from manager.records.object_lookup import find_container
from manager.store import kinds
from manager.store.changes import Change
from manager.store.tables import Tables
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.standalone_pb2 import Container
from shoal.container_ids import container_id, short_container_id
from shoal.errors import InvalidInput, NotFound

DB, WEB, LIKE_WEB = "0z00000000000", "7kq5d3v2m8x4r", "7kq5d3v2m8x4s"


def tables() -> Tables:
    found = Tables()
    for identifier, name in ((DB, "db"), (WEB, "web"), (LIKE_WEB, "3")):
        row = Container(meta=Meta(id=identifier), name=name)
        found.apply((Change(kinds.CONTAINER, identifier, None, row),), 1)  # type: ignore[arg-type]  # see KINDS
    return found


@pytest.mark.parametrize(
    "reference", ["db", "/db", DB, DB[:6], container_id(DB), short_container_id(DB), container_id(DB)[:30]]
)
def test_every_form_names_it(reference: str) -> None:
    assert find_container(tables(), reference).name == "db"


def test_a_name_goes_before_the_beginning_of_an_id() -> None:
    assert container_id(WEB).startswith("3")
    assert find_container(tables(), "3").meta.id == LIKE_WEB


@pytest.mark.parametrize("reference", [WEB[:6], short_container_id(WEB), container_id(WEB)[:5]])
def test_several_are_ambiguous(reference: str) -> None:
    with pytest.raises(InvalidInput, match="ambiguous: it matches 2 IDs"):
        find_container(tables(), reference)


def test_none_is_like_that() -> None:
    with pytest.raises(NotFound, match='container "wed" not found; did you mean "web"'):
        find_container(tables(), "wed")
    with pytest.raises(InvalidInput, match="required"):
        find_container(tables(), "")
    with pytest.raises(NotFound):
        find_container(tables(), "f" * 64)


@pytest.mark.parametrize("name", [DB[:2], WEB[:3], WEB[:5]])
def test_a_name_that_is_not_there_is_no_beginning_of_an_id(name: str) -> None:
    """Else "n51", renamed or removed a moment ago, may be another container, which is stopped or removed then."""
    with pytest.raises(NotFound):
        find_container(tables(), f"/{name}")
