"""Validation of names, labels, durations and addresses, and lists of names in messages. Pure.

Every check yields its faults, so that all faults of an input are returned at once.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence

from manager.validation import bounds
from shoal.errors import Fault
from shoal.unit_formats import cpus, duration, exact_size

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
_HOSTNAME = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_FORMATS = {"bytes": exact_size, "milliseconds": duration, "billionths of a CPU": cpus}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def join_names(names: Sequence[str], separator: str = ", ") -> str:
    """`h1, h2, h3, h4, h5, …`: names for a message, the first few of many."""
    shown = separator.join(names[: bounds.SHOWN_NAMES])
    return shown + (f"{separator.rstrip()} …" if len(names) > bounds.SHOWN_NAMES else "")


def check_name(path: str, name: str, *, dotted: bool = False) -> Iterator[Fault]:
    """A name as in Docker: a label as in RFC 1123, with "_" too.

    Args:
        dotted: "." is allowed. In service names it would be ambiguous: it separates the name from the slot.
    """
    if not name:
        yield Fault(path, "is required")
    elif len(name) > bounds.NAME_LENGTH:
        yield Fault(path, f"has {len(name)} characters; the maximum is {bounds.NAME_LENGTH}")
    elif not _NAME.fullmatch(name) or ("." in name and not dotted):
        signs = '"-", "_" and "."' if dotted else '"-" and "_"'
        yield Fault(
            path, f'"{name}" must contain only letters, digits, {signs}, and begin and end with a letter or digit'
        )


def check_object_name(path: str, name: str, stack: str, *, dotted: bool = True) -> Iterator[Fault]:
    """The name of a service, network, volume, secret or config; in a stack it is "<stack>_<name>"."""
    if not stack:
        yield from check_name(path, name, dotted=dotted)
        return
    yield from check_name("stack", stack)
    if not name.startswith(f"{stack}_"):
        yield Fault(path, f'"{name}" must begin with "{stack}_" because it belongs to stack "{stack}"')
    elif len(name) > bounds.NAME_LENGTH:
        yield Fault(path, f'"{name}" has {len(name)} characters; the maximum is {bounds.NAME_LENGTH}')
    else:
        yield from check_name(path, name.removeprefix(f"{stack}_"), dotted=dotted)


def check_hostname(path: str, name: str) -> Iterator[Fault]:
    """A host name of one or several RFC 1123 labels."""
    if len(name) > bounds.NAME_LENGTH or not _HOSTNAME.fullmatch(name):
        yield Fault(path, f'"{name[:80]}" must be a hostname of at most {bounds.NAME_LENGTH} characters')


def check_alias(path: str, name: str) -> Iterator[Fault]:
    """A further name in the cluster's DNS: a host name, with "_" within its labels too, as in names of services."""
    inner = re.sub(r"(?<=[A-Za-z0-9_-])_(?=[A-Za-z0-9_-])", "-", name)
    if list(check_hostname(path, inner)):
        yield from check_hostname(path, name)


def check_labels(path: str, labels: Mapping[str, str]) -> Iterator[Fault]:
    """Count and sizes; keys without blanks, control characters or "="."""
    if len(labels) > bounds.LABELS:
        yield Fault(path, f"has {len(labels)} labels; the maximum is {bounds.LABELS}")
        return
    for key, value in labels.items():
        if not key or len(key) > bounds.LABEL_KEY_LENGTH or "=" in key or " " in key or _CONTROL.search(key):
            yield Fault(
                path,
                f'"{key[:80]}" must have 1 to {bounds.LABEL_KEY_LENGTH} '
                'characters without spaces, control characters or "="',
            )
        if len(value.encode()) > bounds.LABEL_VALUE_BYTES:
            yield Fault(f"{path}.{key}", f"is too long; the maximum is {bounds.LABEL_VALUE_BYTES} bytes")


def check_range(path: str, value: int, minimum: int, maximum: int, unit: str = "") -> Iterator[Fault]:
    """A number within its bounds, both included.

    Args:
        unit: "bytes", "milliseconds" and "billionths of a CPU" are formatted for people.
    """
    if not minimum <= value <= maximum:
        format_value = _FORMATS.get(unit, "{:,}".format)
        yield Fault(
            path,
            f"{format_value(value)} is out of range; "
            f"must be between {format_value(minimum)} and {format_value(maximum)}",
        )


def check_engine_request(kept: bytes) -> Iterator[Fault]:
    """What an Engine API client has sent, kept with what was made of it."""
    yield from check_range("engine_request", len(kept), 0, bounds.ENGINE_REQUEST_BYTES, "bytes")


def check_duration(path: str, milliseconds: int, maximum: int = bounds.DURATION_MS) -> Iterator[Fault]:
    """Milliseconds, not negative."""
    yield from check_range(path, milliseconds, 0, maximum, "milliseconds")


def check_texts(path: str, texts: Sequence[str], max_entries: int = bounds.LIST_ENTRIES) -> Iterator[Fault]:
    """A list of strings as execve(2) takes them."""
    if len(texts) > max_entries:
        yield Fault(path, f"has {len(texts)} entries; the maximum is {max_entries}")
        return
    for index, text in enumerate(texts):
        if "\x00" in text:
            yield Fault(f"{path}[{index}]", "must not contain a NUL character")
        elif len(text.encode()) > bounds.TEXT_BYTES:
            yield Fault(f"{path}[{index}]", f"is too long; the maximum is {bounds.TEXT_BYTES} bytes")


def check_absolute(path: str, value: str) -> Iterator[Fault]:
    """An absolute path without "..", NUL or line breaks."""
    if not value.startswith("/"):
        yield Fault(path, f'"{value[:80]}" must be an absolute path')
    elif ".." in value.split("/"):
        yield Fault(path, f'"{value[:80]}" must not contain ".."')
    elif _CONTROL.search(value) or len(value.encode()) > 4095:
        yield Fault(path, "must be a path of at most 4095 bytes without control characters")


def check_address(path: str, value: str) -> Iterator[Fault]:
    """An IPv4 or IPv6 address without a prefix length."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        yield Fault(path, f'"{value[:80]}" must be an IPv4 or IPv6 address')
        return
    if "%" in value:
        yield Fault(path, f'"{value[:80]}" must not have a zone: interface names differ between nodes')
    elif str(address) != value:
        yield Fault(path, f'"{value[:80]}" must be written as {address}')


def check_ipv4(path: str, value: str) -> Iterator[Fault]:
    """An IPv4 address, written as the standard library writes it."""
    try:
        ipaddress.IPv4Address(value)
    except ValueError:
        yield Fault(path, f'"{value[:80]}" must be an IPv4 address')


def check_ipv6_address(path: str, value: str) -> Iterator[Fault]:
    """An IPv6 address without an interface's name, in its one canonical form (RFC 5952)."""
    try:
        address = ipaddress.IPv6Address(value)
    except ValueError:
        yield Fault(path, f'"{value[:80]}" must be an IPv6 address')
        return
    if str(address) != value:
        yield Fault(path, f'"{value[:80]}" must be written as {address}')


def check_distinct(path: str, values: Sequence[str]) -> Iterator[Fault]:
    """No value twice."""
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield Fault(f"{path}[{index}]", f'"{value[:80]}" is listed twice')
        seen.add(value)
