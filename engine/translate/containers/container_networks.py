"""Networks: `NetworkMode` and `EndpointsConfig` of a creation request, attachments of a template, and back. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from engine.protocol.versions import NETWORKS_AT_CREATION, ApiVersion
from engine.translate.fields import Fields
from engine.translate.object_ids import digits, reference
from shoal.api.v1.service_pb2 import NetworkAttachment
from shoal.networks.network_modes import BRIDGE, HOST, NONE, is_mode

DEFAULT = "default"
CONTAINER = "container:"
_MAC = re.compile(r"(?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}")


def read_networks(body: Fields, host: Fields, version: ApiVersion) -> list[NetworkAttachment]:
    """The attachments of a request; none for the node's own pool.

    Raises:
        ApiError: 400, an attachment is not valid.
    """
    mode = host.text("NetworkMode") or DEFAULT
    endpoints = body.nested("NetworkingConfig").nested_map("EndpointsConfig")
    if len(endpoints) > 1 and version < NETWORKS_AT_CREATION:
        names = ", ".join(sorted(endpoints))
        raise host.invalid("NetworkMode", f"Container cannot be connected to network endpoints: {names}")
    if body.boolean("NetworkDisabled"):
        return [NetworkAttachment(network=NONE)]
    if mode in (HOST, NONE) or mode.startswith(CONTAINER):
        return [_mode(host, mode, endpoints)]
    if mode in (DEFAULT, BRIDGE):
        others = {name: each for name, each in endpoints.items() if name not in (DEFAULT, BRIDGE)}
        _check_bridge(host, endpoints)
        if others:
            first = {BRIDGE} & endpoints.keys()
            return [*(NetworkAttachment(network=BRIDGE) for _ in first), *map(_attachment, others, others.values())]
        return []
    own = {mode: endpoints.get(mode, Fields({})), **endpoints}
    return [_attachment(name, endpoint) for name, endpoint in own.items() if name != DEFAULT]


def read_mac(body: Fields) -> str:
    """The MAC address of a request; empty for none. A container has one link, however many networks it is on.

    Raises:
        ApiError: 400, one is not valid, or there are several.
    """
    found = ""
    for fields in (body, *body.nested("NetworkingConfig").nested_map("EndpointsConfig").values()):
        mac = read_mac_address(fields)
        if mac and found not in ("", mac):
            raise fields.invalid("MacAddress", f"a container has one MAC address, and {found} is given too")
        found = mac or found
    return found


def read_mac_address(fields: Fields) -> str:
    """`MacAddress` of an object; empty for none.

    Raises:
        ApiError: 400, it is not valid.
    """
    mac = fields.text("MacAddress")
    if mac and _MAC.fullmatch(mac) is None:
        raise fields.invalid("MacAddress", f"invalid MAC address: {mac}")
    return mac.lower().replace("-", ":")


def read_endpoint(network: str, endpoint: Fields) -> NetworkAttachment:
    """One attachment, of `EndpointConfig`.

    Raises:
        ApiError: 400, it is not valid.
    """
    return _attachment(network, endpoint)


def mode_document(networks: Iterable[NetworkAttachment], names: Mapping[str, str]) -> str:
    """`NetworkMode` of a template.

    Args:
        names: of networks by id.
    """
    first = next(iter(networks), None)
    if first is None or first.network == BRIDGE:
        return BRIDGE
    if first.network.startswith(CONTAINER):
        return CONTAINER + digits(first.network.removeprefix(CONTAINER))
    return names.get(first.network, first.network)


def endpoint_document(attachment: NetworkAttachment) -> dict[str, Any]:
    """The part of `EndpointSettings` that a request has, of an attachment."""
    ipam: dict[str, str] = {"IPv4Address": attachment.address} if attachment.address else {}
    ipam |= {"IPv6Address": attachment.address6} if attachment.address6 else {}
    return {
        "IPAMConfig": ipam or None,
        "Links": list(attachment.links) or None,
        "Aliases": list(attachment.aliases) or None,
        "MacAddress": "",
        "DriverOpts": None,
        "GwPriority": 0,
    }


def _mode(host: Fields, mode: str, endpoints: Mapping[str, Fields]) -> NetworkAttachment:
    others = [name for name in endpoints if name not in (mode, DEFAULT)]
    if others:
        raise host.invalid("NetworkMode", f"cannot attach to both {mode} and other networks")
    if mode.startswith(CONTAINER):
        name = mode.removeprefix(CONTAINER)
        if not name:
            raise host.invalid("NetworkMode", "invalid container format container:<name|id>")
        return NetworkAttachment(network=CONTAINER + reference(name))
    return NetworkAttachment(network=mode)


def _check_bridge(host: Fields, endpoints: Mapping[str, Fields]) -> None:
    """Addresses and names are for networks of users only, as with Docker."""
    for name in (DEFAULT, BRIDGE):
        endpoint = endpoints.get(name)
        if endpoint is None:
            continue
        ipam = endpoint.nested("IPAMConfig")
        if ipam.text("IPv4Address") or ipam.text("IPv6Address"):
            raise host.invalid("NetworkMode", "user specified IP address is supported on user defined networks only")
        if endpoint.texts("Aliases"):
            raise host.invalid("NetworkMode", "network-scoped aliases are only supported for user-defined networks")


def _attachment(network: str, endpoint: Fields) -> NetworkAttachment:
    ipam = endpoint.nested("IPAMConfig")
    if ipam.texts("LinkLocalIPs"):
        raise endpoint.invalid("IPAMConfig", "LinkLocalIPs are not supported: networks are routed")
    return NetworkAttachment(
        network=reference(network),
        aliases=dict.fromkeys(endpoint.texts("Aliases")),
        address=ipam.text("IPv4Address"),
        address6=ipam.text("IPv6Address"),
        links=read_links(endpoint),
    )


def read_links(fields: Fields) -> list[str]:
    """`Links`, of `HostConfig` or of an endpoint: "NAME:ALIAS".

    Raises:
        ApiError: 400, one is not valid.
    """
    links = []
    for text in fields.texts("Links"):
        name, sign, alias = text.removeprefix("/").partition(":")
        if not name or ":" in alias or (sign and not alias):
            raise fields.invalid("Links", f"bad format for links: {text}")
        links.append(f"{reference(name)}:{alias.rpartition('/')[2] or name}")
    return links


def has_own_networks(networks: Iterable[NetworkAttachment]) -> bool:
    """Whether they are networks of users, where names are found whoever has them; else links are to containers."""
    return any(not is_mode(each.network) and not each.network.startswith(CONTAINER) for each in networks)
