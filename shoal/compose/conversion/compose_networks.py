"""Convert `networks` of the file and of services, and `network_mode`."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.service_pb2 import NetworkAttachment, ServiceSpec
from shoal.compose.reading.scalar_values import parse_bool, string_list, string_mapping
from shoal.compose.stack_names import StackNames
from shoal.errors import InvalidInput
from shoal.networks.network_modes import MODES, SERVICE, is_mode
from shoal.spec_parsers.address_pools import is_ipv6
from shoal.spec_parsers.network_attachments import canonical_ipv6

_OF_A_POOL = ("gateway", "ip_range")
_CONTAINER = "container:"
Value = Any
ReportFault = Callable[[tuple[str | int, ...], str], None]
"""Takes the path below the network, and what is wrong there."""

_UNSUPPORTED = {
    "link_local_ips": "is not supported: link-local addresses are assigned automatically",
    "mac_address": "is not supported: MAC addresses are assigned automatically",
    "driver_opts": "is not supported: attachments have no driver options",
    "gw_priority": "is not supported: the default route uses the first network that is not internal; use priority",
    "interface_name": "is not supported: all networks of a container share the interface eth0",
}
"""Keys of an attachment, and why not."""


def add_attachments(
    spec: ServiceSpec,
    entries: Value,
    service: str,
    names: StackNames,
    defined: Mapping[str, Mapping[str, Value]],
    add: ReportFault,
) -> None:
    """`networks` of a service: names, or settings by name. Higher priority comes first, and has the default route.

    Args:
        service: its name in the file, an alias on every network.
        defined: the file's top-level networks.
    """
    settings: Mapping[str, Any] = entries if isinstance(entries, dict) else dict.fromkeys(string_list(entries))
    for name, each in ((name, settings[name]) for name in by_priority(settings, add)):
        network = names.resource(name, defined.get(name, {}))
        attachment = NetworkAttachment(network=network, address=str((each or {}).get("ipv4_address") or ""))
        attachment.address6 = canonical_ipv6(str((each or {}).get("ipv6_address") or ""))
        given = [*([] if is_mode(attachment.network) else [service]), *string_list((each or {}).get("aliases"))]
        attachment.aliases.extend(dict.fromkeys(given))
        for key in each or {}:
            if key in _UNSUPPORTED:
                add((name, key), f"{key!r} {_UNSUPPORTED[key]}")
            elif key not in ("aliases", "ipv4_address", "ipv6_address", "priority") and not str(key).startswith("x-"):
                add((name, key), f"{key!r} is not supported")
        spec.task.networks.append(attachment)


def by_priority(settings: Mapping[str, Any], add: ReportFault | None = None) -> list[str]:
    """Names of the networks as the spec has them: by priority, else as the file has them."""
    return sorted(settings, key=lambda name: -_priority(settings[name], name, add))


def _priority(settings: Value, name: str, add: ReportFault | None) -> float:
    try:
        return float((settings or {}).get("priority") or 0)
    except (TypeError, ValueError, AttributeError):
        if add is not None:
            add((name, "priority"), "must be a number")
        return 0


def set_network_mode(spec: ServiceSpec, value: Value, services: Collection[str], names: StackNames) -> None:
    """`network_mode`: "host", "none", "bridge" or "service:NAME".

    Args:
        services: those of the file.
    Raises:
        InvalidInput: another one, or beside `networks`.
    """
    text = str(value)
    if text.startswith(_CONTAINER):
        raise InvalidInput(
            f"network_mode {text!r} is not supported: there are no containers outside services; define a service "
            "and use service:NAME"
        )
    if text.startswith(SERVICE):
        name = text.removeprefix(SERVICE)
        if name not in services:
            raise InvalidInput(f"network_mode {text!r}: service {name!r} is not defined")
        text = SERVICE + names.full(name)
    elif text not in MODES:
        known = ", ".join((*sorted(MODES), f"{SERVICE}NAME"))
        raise InvalidInput(f"network_mode {text!r} is not supported; use {known}, or networks")
    if spec.task.networks:
        raise InvalidInput("network_mode and networks are mutually exclusive")
    spec.task.networks.append(NetworkAttachment(network=text))


def network_spec(name: str, names: StackNames, body: Mapping[str, Value], add: ReportFault) -> NetworkSpec:
    """A network that the file makes.

    Args:
        name: its key in the file.
    """
    driver = str(body.get("driver") or "overlay")
    spec = NetworkSpec(name=names.resource(name, body), driver=driver, stack=names.stack)
    spec.internal = parse_bool(body.get("internal", False))
    spec.attachable = parse_bool(body.get("attachable", False))
    spec.labels.update(string_mapping(body.get("labels") or {}))
    spec.options.update(string_mapping(body.get("driver_opts") or {}))
    spec.ipv6 = parse_bool(body.get("enable_ipv6", False))
    if body.get("enable_ipv4") is False:
        add(("enable_ipv4",), "'enable_ipv4' must be true: networks always have IPv4 addresses")
    _addresses(spec, body.get("ipam") or {}, add)
    return spec


def _addresses(spec: NetworkSpec, ipam: Mapping[str, Value], add: ReportFault) -> None:
    if ipam.get("driver", "default") != "default":
        add(("ipam", "driver"), f"{ipam['driver']!r} is not supported; omit it")
    if ipam.get("options"):
        add(("ipam", "options"), "'options' is not supported: addresses are managed by the cluster")
    pools = [pool or {} for pool in ipam.get("config") or []]
    seen: set[bool] = set()
    for index, pool in enumerate(pools):
        _reject_keys(sorted(set(pool) - {"subnet", *_OF_A_POOL, "aux_addresses"}), index, add)
        texts_of = {key: str(pool.get(key) or "") for key in ("subnet", *_OF_A_POOL)}
        six = any(map(is_ipv6, texts_of.values()))
        if six in seen:
            text = "only one IPv4 and one IPv6 pool are allowed; use a larger pool or several networks"
            add(("ipam", "config", index), text)
            continue
        seen.add(six)
        for key, text in texts_of.items():
            setattr(spec, key + ("6" if six else ""), text)
        (spec.aux_addresses6 if six else spec.aux_addresses).update(string_mapping(pool.get("aux_addresses") or {}))


def _reject_keys(keys: Iterable[str], index: int, add: ReportFault) -> None:
    for key in keys:
        if not str(key).startswith("x-"):
            add(("ipam", "config", index, key), f"{key!r} is not supported")
