"""Names that a node knows in the tests of its answers, and queries for them."""

import random

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype

from agent.network.dns.answer import Forward
from agent.network.dns.answer_cache import AnswerCache
from agent.network.dns.dns_clients import DnsClient
from agent.network.dns.zone import Zone, build_zone
from shoal.api.v1.dispatcher_pb2 import Aliases, EndpointPort, NetworkAssignment, TaskEndpoint
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.task_pb2 import TaskAddress

CLIENT = DnsClient(("back", "front"), has_egress=True)
NETWORKS = [
    NetworkAssignment(network_id="front", subnet="10.0.1.0/24"),
    NetworkAssignment(network_id="back", subnet="10.0.2.0/24"),
]


def endpoint(slot: int, *places: str, service: str = "web", ready: bool = True) -> TaskEndpoint:
    return TaskEndpoint(
        task_id=f"t{slot}",
        service_id=f"id-of-{service}",
        service_name=service,
        slot=slot,
        node_id="node7",
        addresses=[
            TaskAddress(network_id=net, address=address) for net, _, address in (p.partition("=") for p in places)
        ],
        aliases={"front": Aliases(names=["www", service])},
        ready=ready,
        ports=[
            EndpointPort(protocol=PublishedPort.TCP, target=80, published=8080),
            EndpointPort(protocol=PublishedPort.UDP, target=53),
        ],
    )


def names() -> Zone:
    return build_zone(
        NETWORKS,
        [
            endpoint(1, "front=10.0.1.1", "back=10.0.2.1"),
            endpoint(2, "front=10.0.1.2"),
            endpoint(3, "front=10.0.1.3", ready=False),
            endpoint(0, "front=10.0.1.9", service="Everywhere"),
            endpoint(1, "unknown=10.9.9.9", service="elsewhere"),
        ],
    )


def answers(of: Zone) -> AnswerCache:
    kept = AnswerCache(ttl_seconds=5, shuffle=random.Random(1))
    kept.zone = of
    return kept


def ask(wire: bytes, dns_client: DnsClient | None = CLIENT, *, tcp: bool = False) -> dns.message.Message | None:
    response = answers(names()).answer(wire, dns_client, tcp=tcp)
    assert not isinstance(response, Forward)
    return dns.message.from_wire(response) if response is not None else None


def query(name: str, kind: str = "A", dns_client: DnsClient = CLIENT) -> dns.message.Message:
    response = ask(dns.message.make_query(name, kind).to_wire(), dns_client)
    assert response is not None
    return response


def targets(response: dns.message.Message) -> list[tuple[str, int]]:
    assert response.rcode() == dns.rcode.NOERROR
    return sorted((record.target.to_text(), record.port) for rrset in response.answer for record in rrset)
