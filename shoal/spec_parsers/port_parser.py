"""Parse published ports in Docker's short and long syntax."""

from collections.abc import Mapping, Sequence

from shoal.api.v1.service_pb2 import PublishedPort
from shoal.errors import InvalidInput
from shoal.networks.published_ports import protocol_of
from shoal.spec_parsers.network_attachments import canonical_ipv6

PROTOCOLS = {"tcp": PublishedPort.TCP, "udp": PublishedPort.UDP, "sctp": PublishedPort.SCTP}
MODES = {"ingress": PublishedPort.INGRESS, "host": PublishedPort.HOST}
TRAFFIC_POLICIES = ("cluster", "local")
MAX_PORTS = 1000
"""Ports that one range may name."""


def parse_publish(text: str) -> list[PublishedPort]:
    """Ports in "80", "8080:80/udp", "127.0.0.1:8080:80", "8000-8010:8000-8010" (every node answers) or
    "mode=host,published=8080,target=80,protocol=tcp,host_ip=127.0.0.1,traffic=local".

    "8000-8010:80" publishes the target at all of them, as `docker service` has it; `published=8000-8010` at one.

    Raises:
        InvalidInput: it has none of these forms.
    """
    if "=" not in text:
        return from_short(text, each=True)
    short, comma, rest = text.partition(",")
    if comma and "=" not in short:
        return [_with_traffic(port, _pairs(rest), text) for port in from_short(short, each=True)]
    return from_long(_pairs(text), text)


def _with_traffic(port: PublishedPort, fields: Mapping[str, object], text: str) -> PublishedPort:
    if set(fields) != {"traffic"} or fields["traffic"] not in TRAFFIC_POLICIES:
        raise InvalidInput(f"port {text!r}: the short form accepts no option but traffic={'|'.join(TRAFFIC_POLICIES)}")
    port.local_only = fields["traffic"] == "local"
    return port


def from_short(text: str, *, each: bool = False) -> list[PublishedPort]:
    """`[[host_ip:]published[-end]:]target[-end][/protocol]` (Compose Specification, "Short syntax").

    Args:
        each: a range that leads to one target is published whole; else the cluster chooses one of it.
    """
    body, _, protocol = text.partition("/")
    rest, _, target = body.rpartition(":")
    host_address, _, published = rest.rpartition(":")
    targets: Sequence[int] = _range(target, text)
    hosts = _range(published, text, most=MAX_PORTS if each else 65535) if published else None
    if hosts is not None and len(hosts) > 1 and len(targets) == 1:
        if not each:
            return [_port(text, protocol or "tcp", targets[0], hosts, "ingress", host_address)]
        targets = [targets[0]] * len(hosts)
    if hosts is not None and len(hosts) != len(targets):
        raise InvalidInput(f"port {text!r}: port ranges must have the same length")
    return [
        _port(text, protocol or "tcp", target, hosts[place : place + 1] if hosts else None, "ingress", host_address)
        for place, target in enumerate(targets)
    ]


def from_long(fields: Mapping[str, object], text: str) -> list[PublishedPort]:
    """The long form's keys: target, published, protocol, mode (ingress, host), host_ip, traffic (cluster, local).

    Of a range of published ports the cluster chooses one.
    """
    known = {"target", "published", "protocol", "mode", "host_ip", "traffic"}
    if unknown := sorted(set(fields) - known):
        raise InvalidInput(f"port {text!r}: unknown key {unknown[0]!r}; allowed keys are {', '.join(sorted(known))}")
    if "target" not in fields:
        raise InvalidInput(f"port {text!r}: target is missing, as in mode=host,published=8080,target=80")
    target = _number(str(fields["target"]), text)
    published = fields.get("published", 0)
    return [
        _port(
            text,
            str(fields.get("protocol", "tcp")),
            target,
            _range(str(published), text, most=65535) if published not in (0, "", "0") else None,
            str(fields.get("mode", "ingress")),
            str(fields.get("host_ip", "")),
            str(fields.get("traffic", "cluster")),
        )
    ]


def is_named(port: PublishedPort, named: PublishedPort, *, any_protocol: bool) -> bool:
    """Whether a port is the one in the container that is named; and, where they are, the published one and its host."""
    return (
        port.target == named.target
        and (any_protocol or protocol_of(port) == protocol_of(named))
        and named.published in (0, port.published)
        and named.host_address in ("", port.host_address)
    )


def _port(
    text: str,
    protocol: str,
    target: int,
    published: range | None,
    mode: str,
    host_address: str,
    traffic: str = "cluster",
) -> PublishedPort:
    """One port.

    Args:
        published: numbers to choose from; None leaves all of it to the cluster.
    """
    if protocol not in PROTOCOLS:
        raise InvalidInput(f"port {text!r}: protocol {protocol!r} must be one of {', '.join(PROTOCOLS)}")
    if mode not in MODES:
        raise InvalidInput(f"port {text!r}: mode {mode!r} must be one of {', '.join(MODES)}")
    if traffic not in TRAFFIC_POLICIES:
        raise InvalidInput(f"port {text!r}: traffic {traffic!r} must be one of {', '.join(TRAFFIC_POLICIES)}")
    several = published is not None and len(published) > 1
    return PublishedPort(
        protocol=PROTOCOLS[protocol],
        target=target,
        published=published[0] if published and not several else 0,
        published_first=published[0] if published and several else 0,
        published_last=published[-1] if published and several else 0,
        mode=MODES[mode],
        host_address=canonical_ipv6(host_address.removeprefix("[").removesuffix("]")),
        local_only=traffic == "local",
    )


def _pairs(text: str) -> dict[str, object]:
    pairs: dict[str, object] = {}
    for part in text.split(","):
        key, sign, value = part.partition("=")
        if not sign:
            raise InvalidInput(f"port {text!r}: {part!r} must be in the form KEY=VALUE")
        pairs[key.strip()] = value.strip()
    return pairs


def _range(text: str, whole: str, most: int = MAX_PORTS) -> range:
    first, sign, last = text.partition("-")
    start = _number(first, whole)
    end = _number(last, whole) if sign else start
    if end < start or end - start >= most:
        raise InvalidInput(f"port {whole!r}: {text!r} must be an ascending range of at most {most} ports")
    return range(start, end + 1)


def _number(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise InvalidInput(f"port {whole!r}: {text!r} is not a valid port (1 to 65535)")
    return int(text)
