"""`eq`, `ne`, `lt`, `le`, `gt`, `ge`: of values of one kind."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from cli.go_template.template_values import kind
from shoal.errors import InvalidInput


def _same_kind(name: str, one: Any, other: Any) -> None:
    if kind(one) != kind(other) and None not in (one, other):
        raise InvalidInput(f"{name}: {kind(one)} cannot be compared with {kind(other)}")


def _eq(one: Any, *others: Any) -> bool:
    """Whether the first is as any of the others."""
    if not others:
        raise InvalidInput("eq: requires at least two arguments")
    for other in others:
        _same_kind("eq", one, other)
    return one in others


def _ne(one: Any, other: Any) -> bool:
    _same_kind("ne", one, other)
    return bool(one != other)


def _ordering(name: str, holds: Callable[[Any, Any], Any]) -> Callable[[Any, Any], bool]:
    def compare(one: Any, other: Any) -> bool:
        _same_kind(name, one, other)
        if not isinstance(one, int | float | str) or isinstance(one, bool) or other is None:
            raise InvalidInput(f"{name}: {kind(one)} cannot be ordered")
        return bool(holds(one, other))

    return compare


COMPARISONS: Mapping[str, Callable[..., bool]] = {
    "eq": _eq,
    "ne": _ne,
    **{name: _ordering(name, getattr(operator, name)) for name in ("lt", "le", "gt", "ge")},
}
