"""What makes a node's spec valid. Pure: yields every fault."""

from collections.abc import Iterator

from manager.control_api import bounds
from manager.control_api.text_rules import check_labels
from shoal.api.v1.node_pb2 import NodeSpec
from shoal.errors import Fault


def check_node(spec: NodeSpec) -> Iterator[Fault]:
    """Labels and availability."""
    if spec.ByteSize() > bounds.SPEC_BYTES:
        yield Fault("", f"the spec is {spec.ByteSize():,} bytes; at most {bounds.SPEC_BYTES:,} are allowed")
        return
    yield from check_labels("labels", spec.labels)
    if spec.availability not in NodeSpec.Availability.values():
        yield Fault("availability", "must be active, pause or drain")
    if spec.drain_by_ms < 0 or (spec.drain_by_ms and spec.availability != NodeSpec.DRAIN):
        yield Fault("drain_by_ms", "is for a node that is drained")
