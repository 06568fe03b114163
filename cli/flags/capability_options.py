"""`--cap-add` and `--cap-drop`: the last flag for a capability wins."""

from collections.abc import Callable
from typing import Literal

from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput
from shoal.spec_parsers.repeated_fields import remove_matching

Field = Literal["cap_add", "cap_drop"]


def add_capability(spec: ServiceSpec, name: str) -> None:
    """Have it; it is dropped no longer."""
    _move(spec, name, "cap_drop", "cap_add")


def drop_capability(spec: ServiceSpec, name: str) -> None:
    """Do without it; it is added no longer."""
    _move(spec, name, "cap_add", "cap_drop")


def reset_capability(field: Field) -> Callable[[ServiceSpec, str], None]:
    """Takes back what the flag has said of a capability: then it is Docker's default that counts."""

    def remove(spec: ServiceSpec, name: str) -> None:
        if not remove_matching(getattr(spec.task.container, field), lambda other: _same(other, name)):
            raise InvalidInput(f"{name!r} not found")

    return remove


def _move(spec: ServiceSpec, name: str, source: Field, target: Field) -> None:
    container = spec.task.container
    for field in (source, target):
        remove_matching(getattr(container, field), lambda other: _same(other, name))
    getattr(container, target).append(name)


def _same(one: str, other: str) -> bool:
    return one.upper().removeprefix("CAP_") == other.upper().removeprefix("CAP_")
