"""Human-readable documents: `limits: {memory_bytes: 67108864}` becomes `limits: {memory: 64 MiB}`."""

from collections.abc import Callable
from typing import Any

from shoal.unit_formats import cpus, duration, exact_size


def _size(amount: int) -> str:
    return exact_size(amount) if amount >= 0 else "unlimited"


_UNITS: dict[str, tuple[str, Callable[[int], str]]] = {
    "nano_cpus": ("cpus", cpus),
    "_bytes": ("", _size),
    "_ms": ("", duration),
    "_us": ("", lambda microseconds: f"{microseconds / 1000:g}ms"),
    "_ns": ("", lambda nanoseconds: f"{nanoseconds / 1_000_000:g}ms"),
}
"""How a name ends: what stands in place of the ending, and how the number is shown."""


class EnumName(str):
    """The name of a value of an enumeration, as in the .proto files."""

    __slots__ = ()


def humanize(document: Any) -> Any:
    """The document with units in the values in place of the names, and names of states as commands take them."""
    if isinstance(document, dict):
        return dict(humanize_field(str(name), value) for name, value in document.items())
    if isinstance(document, list | tuple):
        return [humanize(each) for each in document]
    if isinstance(document, EnumName):
        return document.lower().replace("_", "-")
    return document


def humanize_field(name: str, value: Any) -> tuple[str, Any]:
    """A field's name and value: ("memory_bytes", 67108864) is ("memory", "64 MiB")."""
    if isinstance(value, int) and not isinstance(value, bool):
        for ending, (other, render) in _UNITS.items():
            if name.endswith(ending):
                return name.removesuffix(ending) + other, render(value)
    return name, humanize(value)
