"""What makes a node's spec valid. Pure: yields every fault."""

from collections.abc import Iterator

from manager.control_api import bounds
from manager.control_api.text_rules import check_labels
from manager.node_identity import HOSTNAME, is_reachable, usual
from shoal.api.v1.node_pb2 import NodeIdentity, NodeSpec
from shoal.errors import Fault


def check_node(spec: NodeSpec) -> Iterator[Fault]:
    """Labels, availability, and what the node is to others."""
    if spec.ByteSize() > bounds.SPEC_BYTES:
        yield Fault("", f"the spec is {spec.ByteSize():,} bytes; at most {bounds.SPEC_BYTES:,} are allowed")
        return
    yield from check_labels("labels", spec.labels)
    yield from _identity(spec.identity)
    if spec.availability not in NodeSpec.Availability.values():
        yield Fault("availability", "must be active, pause or drain")
    if spec.drain_by_ms < 0 or (spec.drain_by_ms and spec.availability != NodeSpec.DRAIN):
        yield Fault("drain_by_ms", "is for a node that is drained")
    elif spec.drain_by_ms > bounds.MOMENT_MS:
        yield Fault("drain_by_ms", "is after the year 9999")


def _identity(identity: NodeIdentity) -> Iterator[Fault]:
    if identity.hostname and not HOSTNAME.fullmatch(identity.hostname):
        yield Fault("identity.hostname", "must be 1 to 253 letters, digits, '.', '_' and '-'")
    address = identity.address
    if address and (not is_reachable(address) or usual(address) != address):
        yield Fault("identity.address", f'"{address[:60]}" is not an IP address that other hosts can reach')
    yield from check_labels("identity.engine_labels", identity.engine_labels)
