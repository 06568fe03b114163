"""`shoal inspect` of any object: in Docker's order, and by a name before the beginning of an ID."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from cli.client import Client
from cli.commands import inspect
from cli.go_template.template_values import FieldRecord
from shoal.errors import InvalidInput, NotFound


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, tuple[str, ...] | Exception]]:
    """What each type has: names of the one object that it finds, or the error of looking for it."""
    objects: dict[str, tuple[str, ...] | Exception] = {}

    def get(_client: Client, _name: str, kind: str, _sizes: bool) -> inspect.Inspected:
        found = objects.get(kind, NotFound("none"))
        if isinstance(found, Exception):
            raise found
        return inspect.Inspected(found, {"type": kind}, FieldRecord)

    monkeypatch.setattr(inspect, "_get", get)
    yield objects


def find(name: str, kind: str | None = None) -> Any:
    return inspect._find(cast(Client, None), name, kind, sizes=False).document["type"]


def test_the_order_is_dockers(known: dict[str, tuple[str, ...] | Exception]) -> None:
    known.update(dict.fromkeys(inspect.TYPES, ("db",)))
    for kind in ("container", "image", "network", "volume", "service", "task", "node", "secret", "config"):
        assert find("db") == kind
        assert find("db", kind) == kind
        del known[kind]
    with pytest.raises(NotFound, match='no such object: "db"'):
        find("db")


def test_a_name_comes_before_the_beginning_of_an_id(known: dict[str, tuple[str, ...] | Exception]) -> None:
    known.update({"container": ("other", "web0000000000"), "service": ("web", "k000000000000")})
    assert find("web") == "service"
    del known["service"]
    assert find("web") == "container"
    assert find("web000") == "container"


def test_an_ambiguous_beginning_is_an_error_unless_something_has_the_name(
    known: dict[str, tuple[str, ...] | Exception],
) -> None:
    known["container"] = InvalidInput("ambiguous")
    with pytest.raises(InvalidInput, match="ambiguous"):
        find("we")
    known["network"] = ("we",)
    assert find("we") == "network"


def test_a_name_need_not_be_an_image_reference(known: dict[str, tuple[str, ...] | Exception]) -> None:
    known["image"] = InvalidInput("invalid reference")
    with pytest.raises(NotFound):
        find("Front")
    with pytest.raises(InvalidInput):
        find("Front", "image")
