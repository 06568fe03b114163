"""SRV records: the ports at which the tasks of a service can be reached.

`_<port>._<tcp|udp|sctp>.<name>`: the port is one that the service publishes, by its container port or its published
port; the name is any name of the cluster. Each ready task has a record: its container port and its full name, with its
addresses as additional records.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import dns.name
import dns.rdata
import dns.rdatatype
import dns.rrset
from dns.rdataclass import IN

from agent.network.cluster_state.name_entries import PortKey
from agent.network.dns.address_records import ADDRESS_TYPES
from agent.network.dns.zone import Zone
from agent.network.ip_types import Address

_NAME = re.compile(r"_(\d{1,5})\._(tcp|udp|sctp)\.(.+)")
_PRIORITY, _WEIGHT = 0, 1
"""Of every record: all tasks are equal (RFC 2782 distributes by weight among records of the same priority)."""


@dataclass(frozen=True)
class SrvName:
    """The parts of an SRV name."""

    port: PortKey
    host: str


@dataclass(frozen=True)
class SrvTarget:
    """One task: its port, and its addresses of both families."""

    name: str
    addresses: Sequence[Address]
    port: int


def parse_srv_name(name: str) -> SrvName | None:
    """The parts of a lower-case name, None when it is not of this form."""
    if (match := _NAME.fullmatch(name)) is None:
        return None
    port, protocol, host = match.groups()
    return SrvName((protocol, int(port)), host)


def srv_targets(service: SrvName, zone: Zone, networks: Collection[str]) -> Sequence[SrvTarget] | None:
    """The ready tasks behind the name; None when there are some and none publishes that port."""
    addresses = zone.task_addresses(service.host, networks) or ()
    owners = [(address, owner) for address in addresses if (owner := zone.owners.get(address)) is not None]
    found: dict[str, tuple[list[Address], int]] = {}
    for address, owner in owners:
        if service.port in owner.ports and owner.network in networks:
            found.setdefault(owner.name, ([], owner.ports[service.port]))[0].append(address)
    targets = [SrvTarget(name, own, port) for name, (own, port) in found.items()]
    return targets if targets or not owners else None


def srv_rrsets(
    question: dns.name.Name, targets: Sequence[SrvTarget], ttl: int
) -> tuple[list[dns.rrset.RRset], list[dns.rrset.RRset]]:
    """The records of the answer, and the additional address records."""
    if not targets:
        return [], []
    names = [dns.name.from_text(target.name) for target in targets]
    services = [
        dns.rdata.from_text(IN, dns.rdatatype.SRV, f"{_PRIORITY} {_WEIGHT} {target.port} {target.name}.")
        for target in targets
    ]
    addresses = [
        dns.rrset.from_rdata(name, ttl, dns.rdata.from_text(IN, ADDRESS_TYPES[address.version], str(address)))
        for target, name in zip(targets, names, strict=True)
        for address in target.addresses
    ]
    return [dns.rrset.from_rdata(question, ttl, *services)], addresses
