"""The parsers of what reaches a node's network, with damaged examples of what comes in earnest.

Bound: 150 cases of each target in a run, each within 200 ms of processor time. `tests/fuzz/network.py` has the targets.
"""

import time
from collections.abc import Callable

import dns.message
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.network.netlink.messages import attribute, number, text
from shoal.api.v1.dispatcher_pb2 import Assignments, NetworkAssignment, Peer, TaskEndpoint
from shoal.api.v1.task_pb2 import TaskAddress
from tests.fuzz import network

TARGETS: dict[str, Callable[[bytes], None]] = {
    name: target for name, target in vars(network).items() if name.startswith("fuzz_")
}
PROCESSOR_SECONDS = 0.2
_LINK = bytes(16) + text(3, "eth0") + number(4, 1450) + attribute(1, b"\2\0\0\0\0\1")
_TOLD = Assignments(
    networks=[NetworkAssignment(network_id="a", subnet="10.0.0.0/24", block="10.0.0.0/22", subnet6="fd00::/64")],
    peers=[Peer(node_id="n2", address="192.0.2.2", vtep_mac="02:56:c0:00:02:02")],
    endpoints=[TaskEndpoint(task_id="t", node_id="n2", addresses=[TaskAddress(network_id="a", address="10.0.0.7")])],
)
EXAMPLES = (
    *(
        dns.message.make_query(name, kind, use_edns=edns).to_wire()
        for name, kind, edns in (
            ("web", "A", False),
            ("tasks.web", "AAAA", 0),
            ("_80._tcp.web", "SRV", 0),
            ("1.1.0.10.in-addr.arpa", "PTR", False),
            ("example.org", "MX", 0),
        )
    ),
    b"\0\1\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1",
    b"\0\1\1\0\0\1\0\0\0\0\0\1\3web\0\0\1\0\1\0\0\x29\x04\xd0\0\0\0\0\0\x0c\0\x0a\0\x08abcdefgh",
    b"nameserver 192.0.2.53\nnameserver 169.254.1.1\nnameserver fe80::1%eth0\noptions edns0\n",
    (16 + len(_LINK)).to_bytes(4, "little") + b"\x10\0\2\0\1\0\0\0\0\0\0\0" + _LINK,
    b"task1 mac=02:00:00:00:00:01 exit=10.0.0.7 local=172.30.0.5 dns=192.0.2.1,fd00::1 exit6=fd00::7",
    b"task1 mac=02:00:00:00:00:01 exit=999.0.0.7 local=1.2.3.4.5",
    _TOLD.SerializeToString(),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An example with a few places overwritten, doubled or cut out."""
    content = bytearray(draw(st.sampled_from(EXAMPLES)))
    for _ in range(draw(st.integers(0, 4))):
        at, piece = draw(st.integers(0, len(content))), draw(st.binary(max_size=4))
        content[at : at + draw(st.integers(0, 8))] = piece
    return bytes(content)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=600) | damaged())
@example(bytes(16))
@example(EXAMPLES[-2])
def test_any_bytes(target: str, data: bytes) -> None:
    begin = time.process_time()
    TARGETS[target](data)
    assert time.process_time() - begin < PROCESSOR_SECONDS
