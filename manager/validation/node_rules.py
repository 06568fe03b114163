"""Validation of node specs. Pure: yields every fault."""

from collections.abc import Iterator

from manager.node_identity import HOSTNAME, is_reachable, normalized
from manager.validation import bounds
from manager.validation.text_rules import check_labels
from shoal.api.v1.node_pb2 import NodeIdentity, NodeSpec
from shoal.errors import Fault


def check_node(spec: NodeSpec) -> Iterator[Fault]:
    """Labels, availability and identity."""
    if spec.ByteSize() > bounds.SPEC_BYTES:
        yield Fault("", f"the spec is too large: {spec.ByteSize():,} bytes; the maximum is {bounds.SPEC_BYTES:,}")
        return
    yield from check_labels("labels", spec.labels)
    yield from _check_identity(spec.identity)
    if spec.availability not in NodeSpec.Availability.values():
        yield Fault("availability", "must be one of active, pause, drain")
    if spec.drain_deadline_ms < 0 or (spec.drain_deadline_ms and spec.availability != NodeSpec.DRAIN):
        yield Fault("drain_deadline_ms", "requires availability drain")
    elif spec.drain_deadline_ms > bounds.MOMENT_MS:
        yield Fault("drain_deadline_ms", "must be before the year 10000")


def _check_identity(identity: NodeIdentity) -> Iterator[Fault]:
    if identity.hostname and not HOSTNAME.fullmatch(identity.hostname):
        yield Fault("identity.hostname", "must have 1 to 253 letters, digits, '.', '_' and '-'")
    address = identity.address
    if address and (not is_reachable(address) or normalized(address) != address):
        yield Fault("identity.address", f'"{address[:60]}" must be an IP address that other hosts can reach')
    yield from check_labels("identity.engine_labels", identity.engine_labels)
