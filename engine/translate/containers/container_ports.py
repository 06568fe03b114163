"""Ports: `ExposedPorts` and `PortBindings` of a creation request, published ports of a definition, and back. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.translate.fields import Fields
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.task_pb2 import TaskPort

PROTOCOLS = {"tcp": PublishedPort.TCP, "udp": PublishedPort.UDP, "sctp": PublishedPort.SCTP}
_NAMES: Mapping[int, str] = {int(number): name for name, number in PROTOCOLS.items()} | {0: "tcp"}
_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/([a-zA-Z]+))?")
_EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  # as Docker shows every address
MAX_PORTS = 1000
_LAST = 65_535

PortName = tuple[int, int]
"""A protocol's number and a port in the container."""


def read_ports(config: Fields, host: Fields, image_ports: Iterable[str] = ()) -> list[PublishedPort]:
    """The ports to publish.

    Args:
        image_ports: "80/tcp" that the image exposes: published too with `PublishAllPorts`.
    Raises:
        ApiError: 400, a port is not valid.
    """
    published: list[PublishedPort] = []
    for text, bindings in host.items("PortBindings"):
        for number, protocol in _numbers(host, "PortBindings", text):
            published.extend(_published(host, number, protocol, each) for each in _entries(host, text, bindings))
    if host.boolean("PublishAllPorts"):
        known = {(port.protocol, port.target) for port in published}
        for number, protocol in _exposed(config, image_ports):
            if (PROTOCOLS[protocol], number) not in known:
                published.append(_published(host, number, protocol, Fields({})))
    found: list[PublishedPort] = []
    for port in published:
        if port not in found:
            found.append(port)
    if len(found) > MAX_PORTS:
        raise host.invalid("PortBindings", f"has {len(found):,} ports; the maximum is {MAX_PORTS:,}")
    return found


def check_exposed(config: Fields) -> None:
    """
    Raises:
        ApiError: 400, one of `ExposedPorts` is no port.
    """
    for text, _ in config.items("ExposedPorts"):
        _numbers(config, "ExposedPorts", text)


def bindings_document(ports: Iterable[PublishedPort]) -> dict[str, Any]:
    """`PortBindings` of a definition."""
    document: dict[str, Any] = {}
    for port in ports:
        document.setdefault(port_text(port.protocol, port.target), []).append(
            {"HostIp": port.host_address, "HostPort": _published_text(port)}
        )
    return document


def exposed_document(ports: Iterable[PublishedPort], more: Iterable[str] = ()) -> dict[str, Any]:
    """`ExposedPorts`: what is published, and what the image exposes."""
    return {text: {} for text in sorted({*more, *(port_text(port.protocol, port.target) for port in ports)})}


def bound_ports(
    ports: Iterable[PublishedPort], *, mesh: Iterable[PublishedPort], of_task: Iterable[TaskPort]
) -> dict[str, list[dict[str, str]]]:
    """Where a running container's published ports answer: `NetworkSettings.Ports`, with numbers that were chosen.

    Args:
        mesh: `ServiceStatus.mesh_ports`.
        of_task: ports of its node alone, `Task.ports`.
    """
    found: dict[str, list[dict[str, str]]] = {}
    chosen: list[tuple[int, int, int, str]] = [
        (each.protocol, each.target, each.published, each.host_address) for each in mesh
    ]
    chosen += [(each.protocol, each.target, each.published, each.host_address) for each in of_task]
    for protocol, target, published, address in dict.fromkeys(chosen):
        bindings = found.setdefault(port_text(protocol, target), [])
        addresses = (address,) if address else _EVERY_ADDRESS
        bindings.extend({"HostIp": each, "HostPort": str(published)} for each in addresses)
    for port in ports:
        found.setdefault(port_text(port.protocol, port.target), [])
    return found


def listed_ports(bound: Mapping[str, Sequence[Mapping[str, str]]], exposed: Iterable[str]) -> list[dict[str, Any]]:
    """`Ports` of a listing: a row for each address, and one for each port that is exposed only."""
    rows: list[dict[str, Any]] = []
    for text in sorted({*bound, *exposed}, key=_sort_key):
        number, protocol = split_port(text)
        rows.extend(
            {
                "IP": binding["HostIp"],
                "PrivatePort": number,
                "PublicPort": int(binding["HostPort"]),
                "Type": protocol,
            }
            for binding in bound.get(text, ())
        )
        if not bound.get(text):
            rows.append({"PrivatePort": number, "Type": protocol})
    return rows


def port_text(protocol: int, target: int) -> str:
    """ "80/tcp" """
    return f"{target}/{_NAMES.get(protocol, 'tcp')}"


def split_port(text: str) -> tuple[int, str]:
    """80 and "tcp" of "80/tcp", "80" of images that say no more."""
    number, _, protocol = text.partition("/")
    return int(number), protocol or "tcp"


def _sort_key(text: str) -> tuple[int, str]:
    return split_port(text)


def _exposed(config: Fields, image_ports: Iterable[str]) -> list[tuple[int, str]]:
    texts = dict.fromkeys([*(text for text, _ in config.items("ExposedPorts")), *image_ports])
    return [each for text in texts for each in _numbers(config, "ExposedPorts", text)]


def _numbers(fields: Fields, key: str, text: str) -> list[tuple[int, str]]:
    """The ports that "80/tcp" or "8000-8010" names."""
    match = _PORT.fullmatch(text)
    protocol = (match[3] or "tcp").lower() if match is not None else ""
    if match is None or protocol not in PROTOCOLS:
        raise fields.invalid(key, f"invalid port specification: {text!r}")
    first, last = int(match[1]), int(match[2] or match[1])
    if not 0 < first <= last <= _LAST or last - first >= MAX_PORTS:
        raise fields.invalid(key, f"invalid port specification: {text!r}")
    return [(number, protocol) for number in range(first, last + 1)]


def _entries(host: Fields, text: str, bindings: object) -> list[Fields]:
    """Bindings of one port; none where there are none, as with Docker."""
    if bindings is None:
        return []
    if not isinstance(bindings, list) or not all(isinstance(each, dict) for each in bindings):
        raise host.wrong_type(f"PortBindings.{text}", bindings, "[]nat.PortBinding")
    return [Fields(each, "HostConfig.PortBindings") for each in bindings]


def _published(host: Fields, target: int, protocol: str, entry: Fields) -> PublishedPort:
    port = PublishedPort(protocol=PROTOCOLS[protocol], target=target, mode=PublishedPort.INGRESS)
    address = entry.text("HostIp")
    port.host_address = "" if address in _EVERY_ADDRESS else address
    text = entry.text("HostPort")
    if not text or text == "0":
        return port
    first, sign, last = text.partition("-")
    if not all(each.isascii() and each.isdigit() and 0 < int(each[:6]) <= _LAST for each in (first, last or first)):
        raise host.invalid("PortBindings", f"invalid port specification: {text!r}")
    if sign and first != last:
        port.published_first, port.published_last = int(first), int(last)
    else:
        port.published = int(first)
    return port


def _published_text(port: PublishedPort) -> str:
    if port.published_first:
        return f"{port.published_first}-{port.published_last}"
    return str(port.published) if port.published else ""
