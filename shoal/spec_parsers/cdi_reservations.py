"""Devices of the Container Device Interface, reserved by name (`--device nvidia.com/gpu=0`) or by number."""

from collections.abc import Sequence

from shoal.api.v1.meta_pb2 import GenericResource
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput
from shoal.spec_parsers.repeated_fields import remove_matching


def reserve_device(spec: ServiceSpec, kind: str, name: str) -> None:
    """Reserve this very one, beside what is reserved already.

    Raises:
        InvalidInput: a number of the kind is reserved, too.
    """
    entry = _entry(spec, kind)
    if entry.count:
        raise InvalidInput(f"{kind}: specify a number or device names, not both")
    if name not in entry.names:
        entry.names.append(name)


def reserve_number(spec: ServiceSpec, kind: str, number: int) -> None:
    """Reserve so many of the kind, beside what is reserved already.

    Raises:
        InvalidInput: some of the kind are reserved by name, too.
    """
    entry = _entry(spec, kind)
    if entry.names:
        raise InvalidInput(f"{kind}: specify a number or device names, not both")
    entry.count += number


def release_device(spec: ServiceSpec, kind: str, name: str) -> bool:
    """Reserve this one no more; whether it was."""
    generic: Sequence[GenericResource] = spec.task.reservations.generic_resources
    found = any(each.kind == kind and remove_matching(each.names, lambda other: other == name) for each in generic)
    remove_matching(spec.task.reservations.generic_resources, lambda each: not (each.names or each.count))
    return found


def _entry(spec: ServiceSpec, kind: str) -> GenericResource:
    generic = spec.task.reservations.generic_resources
    return next((each for each in generic if each.kind == kind), None) or generic.add(kind=kind)
