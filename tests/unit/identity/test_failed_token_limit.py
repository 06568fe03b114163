"""The bound on wrong tokens, in virtual time."""

import pytest

from manager.certificate_authority.ca_service import host_of_peer
from manager.certificate_authority.join_limits import BURST, MAX_HOSTS, SECONDS_EACH, FailedTokenLimit
from shoal.errors import Exhausted


def test_a_burst_is_let_pass_then_one_each_ten_seconds() -> None:
    now = 1000.0
    limit = FailedTokenLimit(clock=lambda: now)
    for _ in range(BURST):
        limit.check("h1")
        limit.failed("h1")
    with pytest.raises(Exhausted, match="from h1"):
        limit.check("h1")
    limit.check("h2")
    now += SECONDS_EACH
    limit.check("h1")
    limit.failed("h1")
    with pytest.raises(Exhausted):
        limit.check("h1")


def test_memory_is_bounded() -> None:
    limit = FailedTokenLimit(clock=lambda: 0.0)
    for number in range(2 * MAX_HOSTS):
        limit.failed(f"h{number}")
    assert len(limit._failures._levels) == MAX_HOSTS


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:192.0.2.1:4711", "192.0.2.1"),
        ("ipv6:%5B2001:db8:0:1::7%5D:4711", "2001:db8:0:1::/64"),
        ("ipv6:[::ffff:192.0.2.1]:4711", "192.0.2.1"),
        ("ipv6:%5Bfe80::1%25eth0%5D:4711", "fe80::/64"),
        ("unix:", "unix:"),
    ],
)
def test_guesses_are_counted_for_a_host(peer: str, host: str) -> None:
    assert host_of_peer(peer) == host
