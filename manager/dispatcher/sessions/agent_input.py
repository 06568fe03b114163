"""Sanitizes what agents send: bounds sizes, numbers and texts, and rejects what others could not act on. Pure.

What an agent sends is stored, used by the planner and shown to users, so its size and content are bounded: a
compromised node may harm what runs on it, and no more. Text is cut and made one line, lists are cut, numbers and times
are brought into range, unknown enumerators become the unspecified one. Invalid values on which others would act are
rejected, which ends the session.
"""

import re
from collections.abc import Iterator
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from manager.node_identity import is_reachable
from shoal import device_names
from shoal.api.v1.dispatcher_pb2 import ImageReport, OrphanReport, StatusBatch, VolumeReport
from shoal.api.v1.node_pb2 import HostDevices, NetworkCondition, NodeDescription
from shoal.api.v1.task_pb2 import TaskLink, TaskState, TaskStatus
from shoal.distribution.digests import is_digest
from shoal.errors import Exhausted, Fault, InvalidInput
from shoal.ids import is_id
from shoal.one_line import one_line

MAX_TEXT = 500
MAX_ENTRIES = 256
"""Of a list or a map."""
MAX_ENTRIES_OF = {HostDevices.DESCRIPTOR.fields_by_name["paths"].full_name: device_names.MAX_DEVICES}
"""Maximum entries of longer lists, by the field's full name."""
MAX_NUMBER = 1 << 53
"""Of bytes, nanocores and so on: the sum over a thousand nodes fits in 64 bits."""
MAX_CLOCK_SKEW_MS = 24 * 3600 * 1000
"""How far an agent's clock may be ahead."""
MAX_VOLUMES_BYTES = 900_000
"""Of a volume report, which cannot be cut: volumes that are not in it count as deleted. About ten thousand volumes."""
MAX_STATUSES = 10_000
"""Of a batch. An empty status takes two bytes on the wire, and hundreds in memory."""
MAX_VOLUMES = 20_000
"""Of a report, and publications."""
MAX_IMAGES = 10_000
"""Of a report."""
MAX_NODE_BYTES = 256 * 1024
"""Of a description, and of a condition: a node's record holds both."""
MAX_INPUT_BYTES = 512 * 1024
"""Larger messages are rejected before sanitizing, which blocks the event loop."""
_SMALL_BYTES = 400
"""Smaller statuses have no text or list that could be too long."""

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_UNSIGNED = {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64}
_HEALTH = frozenset(TaskStatus.Health.values())
_STATES = frozenset(TaskState.values())
_KEY_BYTES = 32
_PORT = 65_535

M = TypeVar("M", bound=Message)


def sanitized(message: M, now_ms: int) -> M:
    """A sanitized copy.

    Args:
        now_ms: by the manager's clock, milliseconds since the Unix epoch.
    """
    copy = type(message)()
    copy.CopyFrom(message)
    _sanitize(copy, now_ms + MAX_CLOCK_SKEW_MS, MAX_ENTRIES)
    return copy


def sanitize_condition(message: NetworkCondition, now_ms: int) -> NetworkCondition:
    """A node's network condition, sanitized.

    Raises:
        Exhausted: it is too large.
    """
    return _within(sanitized(_within(message, MAX_INPUT_BYTES), now_ms), MAX_NODE_BYTES)


def sanitize_status(message: TaskStatus, now_ms: int) -> TaskStatus:
    """A task's status, sanitized: the same object if nothing changes, as for nearly all."""
    latest = now_ms + MAX_CLOCK_SKEW_MS
    is_clean = (
        message.ByteSize() <= _SMALL_BYTES
        and message.health in _HEALTH
        and 0 <= message.at_ms <= latest
        and 0 <= message.running_at_ms <= latest
        and f"{message.task_id}{message.message}{message.health_output}".isprintable()
        and f"{message.warning}{message.image_digest}".isprintable()
        and (not message.HasField("link") or _is_printable(message.link))
        and all(0 <= each.at_ms <= latest and each.state in _STATES for each in message.state_history)
    )
    return message if is_clean else sanitized(message, now_ms)


def _is_printable(link: TaskLink) -> bool:
    texts = (link.mac_address, link.pool_address, link.pool_address6, link.gateway, link.gateway6)
    return "".join(texts).isprintable()


def sanitize_statuses(batch: StatusBatch, now_ms: int) -> tuple[TaskStatus, ...]:
    """The statuses of a batch, each sanitized.

    Raises:
        Exhausted: there are too many.
    """
    if len(batch.statuses) > MAX_STATUSES:
        raise Exhausted(f"a batch of {len(batch.statuses)} statuses is too large; the maximum is {MAX_STATUSES}")
    return tuple(sanitize_status(each, now_ms) for each in batch.statuses)


def sanitize_description(message: NodeDescription, now_ms: int) -> NodeDescription:
    """A node's description, sanitized.

    Raises:
        InvalidInput: other nodes could not use its addresses or keys.
        Exhausted: it is too large.
    """
    faults = list(_faults(message))
    if faults:
        raise InvalidInput(faults)
    return _within(sanitized(_within(message, MAX_INPUT_BYTES), now_ms), MAX_NODE_BYTES)


def sanitize_volumes(report: VolumeReport, now_ms: int) -> VolumeReport:
    """A node's volume report, sanitized.

    Raises:
        Exhausted: it is too large.
    """
    if max(len(report.volumes), len(report.publications)) > MAX_VOLUMES:
        raise Exhausted(f"the node reports more than {MAX_VOLUMES} volumes; remove some")
    if report.ByteSize() > MAX_VOLUMES_BYTES:
        raise Exhausted(f"the node's volume report exceeds {MAX_VOLUMES_BYTES} bytes; remove some volumes")
    copy = VolumeReport()
    copy.CopyFrom(report)
    _sanitize(copy, now_ms + MAX_CLOCK_SKEW_MS, MAX_VOLUMES_BYTES)
    return copy


def sanitize_orphans(report: OrphanReport, now_ms: int) -> OrphanReport:
    """A node's orphaned containers, sanitized; what has no id is left out.

    Raises:
        Exhausted: it is too large.
    """
    clean = _within(sanitized(_within(report, MAX_INPUT_BYTES), now_ms), MAX_NODE_BYTES)
    kept = [each for each in clean.containers if is_id(each.id)]
    return OrphanReport(containers=kept, count=clean.count)


def sanitize_images(report: ImageReport) -> list[str]:
    """Digests of a node's image report; what is none is left out.

    Raises:
        Exhausted: there are too many.
    """
    if len(report.digests) > MAX_IMAGES:
        raise Exhausted(f"the node reports more than {MAX_IMAGES} images; remove some")
    return [each for each in report.digests if is_digest(each) and each.startswith("sha256:")]


def sanitize_text(text: str) -> str:
    """Without characters that could move a terminal's cursor, and cut. Blanks stay: it may be a label or a path."""
    if not text.isprintable():
        text = "".join(each if each.isprintable() else " " for each in text[: 2 * MAX_TEXT])
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 2] + " …"


def _within(message: M, max_bytes: int) -> M:
    if message.ByteSize() > max_bytes:
        raise Exhausted(f"{type(message).__name__} too large ({message.ByteSize()} bytes); the maximum is {max_bytes}")
    return message


def _faults(message: NodeDescription) -> Iterator[Fault]:
    if message.address and not is_reachable(message.address):
        yield Fault("description.address", f'"{one_line(message.address, 60)}" is not a reachable IP address')
    if message.vtep_mac and not _MAC.fullmatch(message.vtep_mac):
        yield Fault("description.vtep_mac", f'"{one_line(message.vtep_mac, 60)}" is not a MAC address')
    if message.stream_port > _PORT:
        yield Fault("description.stream_port", f"{message.stream_port} is not a port")
    if any(len(key.public_key) != _KEY_BYTES or not 0 < key.port <= _PORT for key in message.overlay_keys):
        yield Fault(
            "description.overlay_keys", f"each key must have {_KEY_BYTES} bytes and a port between 1 and {_PORT}"
        )


def _sanitize(message: Message, latest_ms: int, entries: int) -> None:
    """In place and for all fields, so that fields added later are bounded too."""
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _sanitize_map(value, entries)
        elif field.is_repeated:
            del value[max(entries, MAX_ENTRIES_OF.get(field.full_name, 0)) :]
            _sanitize_list(field, value, latest_ms, entries)
        elif field.message_type is not None:
            _sanitize(value, latest_ms, entries)
        else:
            setattr(message, field.name, _scalar(field, value, latest_ms))


def _sanitize_list(field: FieldDescriptor, values: Any, latest_ms: int, entries: int) -> None:
    if field.message_type is not None:
        for each in values:
            _sanitize(each, latest_ms, entries)
    else:
        values[:] = [_scalar(field, each, latest_ms) for each in values]


def _sanitize_map(values: Any, entries: int) -> None:
    """All maps in agents' messages have text values."""
    kept = {sanitize_text(key): sanitize_text(values[key]) for key in sorted(values)[:entries]}
    values.clear()
    values.update(kept)


def _scalar(field: FieldDescriptor, value: Any, latest_ms: int) -> Any:
    if isinstance(value, str):
        return sanitize_text(value)
    if isinstance(value, bytes):
        return value[:MAX_TEXT]
    if field.enum_type is not None:
        return value if value in field.enum_type.values_by_number else 0
    if field.name.endswith("_at_ms") or field.name == "at_ms":
        return min(max(value, 0), latest_ms)
    if field.cpp_type == FieldDescriptor.CPPTYPE_INT64 or field.cpp_type in _UNSIGNED:
        return min(max(value, 0), MAX_NUMBER)
    return value
