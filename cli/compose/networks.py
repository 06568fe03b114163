"""Compose's networks: those that a file makes, and those that a service is on."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cli.compose.values import pairs, texts, truth
from cli.flags.networks import canonical
from cli.flags.pools import is_ipv6
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.service_pb2 import NetworkAttachment, ServiceSpec
from shoal.errors import InvalidInput
from shoal.network_modes import MODES, SERVICE, is_mode

_OF_A_POOL = ("gateway", "ip_range")
_CONTAINER = "container:"
Value = Any
AddFault = Callable[[tuple[str | int, ...], str], None]
"""Takes the place below the network, and what is wrong there."""

_REFUSED = {
    "link_local_ips": "is not supported: containers have no link-local addresses of the user's choice",
    "mac_address": "is not supported: each container has a MAC address made for it",
    "driver_opts": "is not supported: an attachment has no options",
    "gw_priority": "is not supported: the way out is by the first network that is not internal; order them by priority",
    "interface_name": "is not supported: all networks of a container are on its one interface eth0",
}
"""Keys of an attachment, and why not."""


def attach(spec: ServiceSpec, entries: Value, service: str, cluster_name: Callable[[str], str], add: AddFault) -> None:
    """`networks` of a service: names, or settings by name. Higher priority comes first, and with it the way out.

    Args:
        service: its short name, an alias on every network.
        cluster_name: of a network of the file.
    """
    settings: Mapping[str, Any] = entries if isinstance(entries, dict) else dict.fromkeys(texts(entries))
    for name, each in ((name, settings[name]) for name in in_order(settings, add)):
        attachment = NetworkAttachment(network=cluster_name(name), address=str((each or {}).get("ipv4_address") or ""))
        attachment.address6 = canonical(str((each or {}).get("ipv6_address") or ""))
        given = [*([] if is_mode(attachment.network) else [service]), *texts((each or {}).get("aliases"))]
        attachment.aliases.extend(dict.fromkeys(given))
        for key in each or {}:
            if key in _REFUSED:
                add((name, key), f"{key!r} {_REFUSED[key]}")
            elif key not in ("aliases", "ipv4_address", "ipv6_address", "priority") and not str(key).startswith("x-"):
                add((name, key), f"{key!r} is not supported yet")
        spec.task.networks.append(attachment)


def in_order(settings: Mapping[str, Any], add: AddFault | None = None) -> list[str]:
    """Names of the networks as the spec has them: by priority, else as the file has them."""
    return sorted(settings, key=lambda name: -_priority(settings[name], name, add))


def _priority(settings: Value, name: str, add: AddFault | None) -> float:
    try:
        return float((settings or {}).get("priority") or 0)
    except (TypeError, ValueError, AttributeError):
        if add is not None:
            add((name, "priority"), "is not a number")
        return 0


def mode(spec: ServiceSpec, value: Value, services: Mapping[str, str]) -> None:
    """`network_mode`: "host", "none", "bridge" or "service:NAME".

    Args:
        services: names of the cluster's services by those that the file has for them.
    Raises:
        InvalidInput: another one, or beside `networks`.
    """
    text = str(value)
    if text.startswith(_CONTAINER):
        raise InvalidInput(
            f"network_mode {text!r} is not supported: there are no containers outside of services; make it a service "
            "of the file and use service:NAME"
        )
    if text.startswith(SERVICE):
        name = text.removeprefix(SERVICE)
        if name not in services:
            raise InvalidInput(f"network_mode {text!r}: service {name!r} is not among the file's services")
        text = SERVICE + services[name]
    elif text not in MODES:
        known = ", ".join((*sorted(MODES), f"{SERVICE}NAME"))
        raise InvalidInput(f"network_mode {text!r} is not supported; use {known}, or networks")
    if spec.task.networks:
        raise InvalidInput("network_mode and networks exclude each other")
    spec.task.networks.append(NetworkAttachment(network=text))


def network(name: str, stack: str, body: Mapping[str, Value], add: AddFault) -> NetworkSpec:
    """A network that the file makes.

    Args:
        name: the cluster's.
    """
    spec = NetworkSpec(name=name, driver=str(body.get("driver") or "overlay"), stack=stack)
    spec.internal = truth(body.get("internal", False))
    spec.attachable = truth(body.get("attachable", False))
    spec.labels.update(pairs(body.get("labels") or {}))
    spec.options.update(pairs(body.get("driver_opts") or {}))
    spec.ipv6 = truth(body.get("enable_ipv6", False))
    if body.get("enable_ipv4") is False:
        add(("enable_ipv4",), "'enable_ipv4' cannot be false: networks have IPv4 addresses")
    _addresses(spec, body.get("ipam") or {}, add)
    return spec


def _addresses(spec: NetworkSpec, ipam: Mapping[str, Value], add: AddFault) -> None:
    if ipam.get("driver", "default") != "default":
        add(("ipam", "driver"), f"{ipam['driver']!r} is not supported; leave it out")
    if ipam.get("options"):
        add(("ipam", "options"), "'options' is not supported: addresses are managed by the cluster")
    pools = [pool or {} for pool in ipam.get("config") or []]
    seen: set[bool] = set()
    for index, pool in enumerate(pools):
        _refuse(sorted(set(pool) - {"subnet", *_OF_A_POOL, "aux_addresses"}), index, add)
        texts_of = {key: str(pool.get(key) or "") for key in ("subnet", *_OF_A_POOL)}
        six = any(map(is_ipv6, texts_of.values()))
        if six in seen:
            text = "a network has one pool of IPv4 and one of IPv6; make several networks, or one wider pool"
            add(("ipam", "config", index), text)
            continue
        seen.add(six)
        for key, text in texts_of.items():
            setattr(spec, key + ("6" if six else ""), text)
        (spec.reserved6 if six else spec.reserved).update(pairs(pool.get("aux_addresses") or {}))


def _refuse(keys: Iterable[str], index: int, add: AddFault) -> None:
    for key in keys:
        if not str(key).startswith("x-"):
            add(("ipam", "config", index, key), f"{key!r} is not supported yet")
