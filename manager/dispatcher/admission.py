"""What agents send, cut to what a manager takes. Pure.

An agent's word is stored, planned with, and shown to users, so nothing of it may be larger or stranger than what the
rest was made for: a node in the wrong hands may harm what runs on it, and no more. Text is cut and made one line,
lists are cut, numbers and moments are brought into range, unknown enumerators become the unspecified one. What no
agent of ours sends and what others would act upon is refused, which ends that session.
"""

import re
from collections.abc import Iterator
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from manager.node_identity import is_reachable
from shoal import device_names
from shoal.api.v1.dispatcher_pb2 import StatusBatch, VolumeReport
from shoal.api.v1.node_pb2 import HostDevices, NetworkCondition, NodeDescription
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.errors import Exhausted, Fault, InvalidInput

TEXT_CHARACTERS = 500
ENTRIES = 256
"""Of a list or a map."""
MOST_OF = {HostDevices.DESCRIPTOR.fields_by_name["paths"].full_name: device_names.MOST}
"""Entries of lists that may be longer, by the field's name."""
NUMBER = 1 << 53
"""Of bytes, billionths of processors and the like: a thousand nodes' still add up within 64 bits."""
CLOCKS_MS = 24 * 3600 * 1000
"""By how much an agent's clock may be ahead."""
VOLUMES_BYTES = 900_000
"""Of a report of volumes, which cannot be cut: what is not in it counts as gone. About ten thousand volumes."""
STATUSES = 10_000
"""Of a batch. An empty one is two bytes on the wire, and hundreds here."""
VOLUMES = 20_000
"""Of a report, and publications."""
NODE_BYTES = 256 * 1024
"""Of a description, and of a condition: a node's record holds both."""
UNCUT_BYTES = 512 * 1024
"""Of what is worth cutting at all: it takes time, in which the manager does nothing else."""
_SMALL_BYTES = 400
"""Smaller ones have no text or list that could be too long."""

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_UNSIGNED = {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64}
_HEALTH = frozenset(TaskStatus.Health.values())
_STATES = frozenset(TaskState.values())
_KEY_BYTES = 32
_PORT = 65_535

M = TypeVar("M", bound=Message)


def bounded(message: M, now_ms: int) -> M:
    """A copy within bounds.

    Args:
        now_ms: by the manager's clock, milliseconds since the Unix epoch.
    """
    copy = type(message)()
    copy.CopyFrom(message)
    _bound(copy, now_ms + CLOCKS_MS, ENTRIES)
    return copy


def condition(told: NetworkCondition, now_ms: int) -> NetworkCondition:
    """How a node's network is, within bounds.

    Raises:
        Exhausted: it is too long.
    """
    return _sized(bounded(_sized(told, UNCUT_BYTES), now_ms), NODE_BYTES)


def status(told: TaskStatus, now_ms: int) -> TaskStatus:
    """A task's status within bounds: the same object if it is already, as nearly every one."""
    latest = now_ms + CLOCKS_MS
    is_plain = (
        told.ByteSize() <= _SMALL_BYTES
        and told.health in _HEALTH
        and 0 <= told.at_ms <= latest
        and 0 <= told.running_at_ms <= latest
        and f"{told.task_id}{told.message}{told.health_output}{told.notice}{told.image_digest}".isprintable()
        and all(0 <= each.at_ms <= latest and each.state in _STATES for each in told.path)
    )
    return told if is_plain else bounded(told, now_ms)


def statuses(told: StatusBatch, now_ms: int) -> tuple[TaskStatus, ...]:
    """A batch of statuses, each within bounds.

    Raises:
        Exhausted: there are too many.
    """
    if len(told.statuses) > STATUSES:
        raise Exhausted(f"a batch of {len(told.statuses)} statuses is too large; the maximum is {STATUSES}")
    return tuple(status(each, now_ms) for each in told.statuses)


def description(told: NodeDescription, now_ms: int) -> NodeDescription:
    """A node's description within bounds.

    Raises:
        InvalidInput: other nodes could not act on its addresses or keys.
        Exhausted: it is too long.
    """
    faults = list(_faults(told))
    if faults:
        raise InvalidInput(faults)
    return _sized(bounded(_sized(told, UNCUT_BYTES), now_ms), NODE_BYTES)


def volumes(told: VolumeReport, now_ms: int) -> VolumeReport:
    """A node's report of its volumes within bounds.

    Raises:
        Exhausted: it is too long.
    """
    if max(len(told.volumes), len(told.publications)) > VOLUMES:
        raise Exhausted(f"a node tells of more than {VOLUMES} volumes; remove some of them")
    if told.ByteSize() > VOLUMES_BYTES:
        raise Exhausted(f"a node tells of more volumes than {VOLUMES_BYTES} bytes bear; remove some of them")
    copy = VolumeReport()
    copy.CopyFrom(told)
    _bound(copy, now_ms + CLOCKS_MS, VOLUMES_BYTES)
    return copy


def one_line(text: str, most: int = TEXT_CHARACTERS) -> str:
    """Without characters that could move a terminal's cursor, and cut."""
    shown = text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text[: 2 * most])
    return shown if len(shown) <= most else shown[: most - 2] + " …"


def _sized(told: M, most_bytes: int) -> M:
    if told.ByteSize() > most_bytes:
        raise Exhausted(f"{told.ByteSize()} bytes of {type(told).__name__} are too many: {most_bytes} is the most")
    return told


def _faults(told: NodeDescription) -> Iterator[Fault]:
    if told.address and not is_reachable(told.address):
        yield Fault("description.address", f'"{one_line(told.address, 60)}" is not an IP address that others can reach')
    if told.vtep_mac and not _MAC.fullmatch(told.vtep_mac):
        yield Fault("description.vtep_mac", f'"{one_line(told.vtep_mac, 60)}" is not a MAC address')
    if told.stream_port > _PORT:
        yield Fault("description.stream_port", f"{told.stream_port} is not a port")
    if any(len(key.public_key) != _KEY_BYTES or not 0 < key.port <= _PORT for key in told.overlay_keys):
        yield Fault("description.overlay_keys", f"a key must have {_KEY_BYTES} bytes and a port")


def _bound(message: Message, latest_ms: int, entries: int) -> None:
    """In place, whatever fields it has, so that one that is added later is bounded too."""
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _bound_map(value, entries)
        elif field.is_repeated:
            del value[max(entries, MOST_OF.get(field.full_name, 0)) :]
            _bound_list(field, value, latest_ms, entries)
        elif field.message_type is not None:
            _bound(value, latest_ms, entries)
        else:
            setattr(message, field.name, _scalar(field, value, latest_ms))


def _bound_list(field: FieldDescriptor, values: Any, latest_ms: int, entries: int) -> None:
    if field.message_type is not None:
        for each in values:
            _bound(each, latest_ms, entries)
    else:
        values[:] = [_scalar(field, each, latest_ms) for each in values]


def _bound_map(values: Any, entries: int) -> None:
    """All maps of agents' messages are of text."""
    kept = {one_line(key): one_line(values[key]) for key in sorted(values)[:entries]}
    values.clear()
    values.update(kept)


def _scalar(field: FieldDescriptor, value: Any, latest_ms: int) -> Any:
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, bytes):
        return value[:TEXT_CHARACTERS]
    if field.enum_type is not None:
        return value if value in field.enum_type.values_by_number else 0
    if field.name.endswith("_at_ms") or field.name == "at_ms":
        return min(max(value, 0), latest_ms)
    if field.cpp_type == FieldDescriptor.CPPTYPE_INT64 or field.cpp_type in _UNSIGNED:
        return min(max(value, 0), NUMBER)
    return value
