"""A container's places on networks, as its documents show them: addresses, names, the MAC address. Pure."""

import hashlib
from collections.abc import Mapping
from typing import Any

from engine.translate.containers.container_facts import NetworkFacts, Surroundings, identifier
from engine.translate.containers.container_networks import endpoint_document
from engine.translate.kept_requests import read_kept
from engine.translate.object_ids import digits
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.api.v1.task_pb2 import TaskAddress
from shoal.container_ids import SHORT_DIGITS
from shoal.container_states import state_text
from shoal.networks.network_modes import BRIDGE, is_mode


def endpoints(view: ContainerView, around: Surroundings) -> dict[str, dict[str, Any]]:
    """`NetworkSettings.Networks`: by name, with addresses while it runs."""
    attachments = list(view.container.definition.task.networks)
    running = _is_up(view)
    if not attachments:
        return {BRIDGE: _endpoint(view, BRIDGE, around, _as_sent(view, BRIDGE), running=running)}
    found = {}
    for each in attachments:
        if each.network.startswith("container:"):
            continue
        facts = around.networks.get(each.network)
        name = facts.name if facts is not None else each.network
        asked = endpoint_document(each) | _as_sent(view, name)
        found[name] = _endpoint(view, each.network, around, asked, running=running)
    return found


def _as_sent(view: ContainerView, network: str) -> dict[str, Any]:
    """What a client has sent with an endpoint and the cluster does not use, so that it reads what it wrote."""
    sent = read_kept(view.container.definition.engine_request)
    if sent is None:
        return {}
    networking = sent[0].get("NetworkingConfig") or {}
    endpoint = (networking.get("EndpointsConfig") or {}).get(network) or {}
    keys = ("DriverOpts", "GwPriority", *(("IPAMConfig",) if network == BRIDGE else ()))
    return {key: endpoint[key] for key in keys if endpoint.get(key)}


def _endpoint(
    view: ContainerView, network: str, around: Surroundings, asked: dict[str, Any], *, running: bool
) -> dict[str, Any]:
    facts = around.networks.get(network, NetworkFacts(network, digits(network)))
    address, address6 = _addresses(view, network, facts) if running else (("", 0), ("", 0))
    names = None if is_mode(network) else _dns_names(view, asked)
    link = view.task_status.link
    return {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "DriverOpts": None,
        "GwPriority": 0,
        **asked,
        "MacAddress": mac_address(view) if _has_link(network) else "",
        "NetworkID": facts.id,
        "EndpointID": endpoint_id(view.task.id, facts.id) if running else "",
        "Gateway": (facts.gateway or link.gateway) if address[0] else "",
        "IPAddress": address[0],
        "IPPrefixLen": address[1],
        "IPv6Gateway": (facts.gateway6 or link.gateway6) if address6[0] else "",
        "GlobalIPv6Address": address6[0],
        "GlobalIPv6PrefixLen": address6[1],
        "DNSNames": names,
    }


def endpoint_id(task: str, network: str) -> str:
    """An id for the attachment of a run to a network: there is no such object, but clients compare it."""
    return hashlib.sha256(f"{task}/{network}".encode()).hexdigest()


def _dns_names(view: ContainerView, asked: Mapping[str, Any]) -> list[str]:
    spec = view.container.definition.task.container
    names = [view.container.name, *(asked.get("Aliases") or []), identifier(view)[:SHORT_DIGITS]]
    return list(dict.fromkeys([*names, *([spec.hostname] if spec.hostname else [])]))


def _has_link(network: str) -> bool:
    """Whether containers on it have a link of their own: on networks, and in the node's own pool."""
    return network == BRIDGE or not is_mode(network)


def mac_address(view: ContainerView) -> str:
    """Of its one link, whatever its networks; before a start the one that was asked for, if any."""
    asked = view.container.definition.task.container.mac_address
    return view.task_status.link.mac_address or asked if _is_up(view) else asked


def pool_addresses(view: ContainerView) -> tuple[str, str]:
    """Its addresses in its node's own pool, IPv4 and IPv6, each with the length of the prefix; empty: it has none."""
    link = view.task_status.link
    return (link.pool_address, link.pool_address6) if _is_up(view) else ("", "")


def _is_up(view: ContainerView) -> bool:
    return state_text(view) in ("running", "paused")


def _addresses(view: ContainerView, network: str, facts: NetworkFacts) -> tuple[tuple[str, int], tuple[str, int]]:
    """IPv4 and IPv6 on a network, each with the length of the prefix."""
    if network == BRIDGE:
        pool, pool6 = pool_addresses(view)
        return _parted(pool), _parted(pool6)
    found = next((each for each in view.task.addresses if each.network_id == network), TaskAddress())
    return (
        (found.address, facts.prefix if found.address else 0),
        (found.address6, facts.prefix6 if found.address6 else 0),
    )


def _parted(interface: str) -> tuple[str, int]:
    address, _, prefix = interface.partition("/")
    return address, int(prefix or 0)
