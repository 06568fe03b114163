"""What templates are run on: plain values, records whose fields are known, methods."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from shoal.errors import InvalidInput


class FieldRecord(dict[str, Any]):
    """A mapping of fields that are all there: to ask for another one is an error, as with a struct of Go."""


@dataclass(frozen=True)
class TemplateMethod:
    """A function that is a record's field: `{{.Label "tier"}}`."""

    call: Callable[..., Any]


def field(value: Any, name: str, path: str) -> Any:
    """A field of a value; of a plain mapping without it, None.

    Args:
        path: what the template says, for the error.
    Raises:
        InvalidInput: there is no such field, or the value has none.
    """
    if isinstance(value, FieldRecord) and name not in value:
        raise InvalidInput(f"{path}: unknown field {name!r}; available fields: {list_fields(value)}")
    if isinstance(value, dict):
        return value.get(name)
    if value is None:
        raise InvalidInput(f"{path}: cannot read field {name!r} of nil; check with {{{{if}}}} first")
    raise InvalidInput(f"{path}: {kind(value)} has no field {name!r}")


def list_fields(names: Iterable[str]) -> str:
    """ ".ID, .Name", at most 40 of them."""
    shown = sorted(f".{name}" for name in names)
    return ", ".join(shown[:40]) + (", …" if len(shown) > 40 else "")


def kind(value: Any) -> str:
    """What it is, in words."""
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", type(None): "nil"}
    return names.get(type(value), "a mapping" if isinstance(value, dict) else "a function")


def is_true(value: Any) -> bool:
    """What `if` takes for true: not false, 0, empty or nil. A record is something, also one without fields."""
    return isinstance(value, TemplateMethod | FieldRecord) or bool(value)


def plain(value: Any) -> Any:
    """Without methods, for JSON."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items() if not isinstance(each, TemplateMethod)}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value
