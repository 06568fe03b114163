"""What one asker may use of the resolver: shares, allowances, and how a flood is told."""

import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.network.attachments.attachment import Attachment
from agent.network.dns.client_limits import Allowance, Shares
from agent.network.dns.query_floods import query_floods
from agent.network.dns.udp_transport import gro_segment_bytes
from agent.network.dns.wire_format import servfail


def taken_by(shares: Shares, dns_client: str) -> int:
    """As many places as it gets."""
    count = 0
    while shares.acquire(dns_client):
        count += 1
    return count


def test_one_asker_has_half_and_each_that_comes_later_some() -> None:
    shares = Shares(512)
    assert taken_by(shares, "a") == 256
    later = [taken_by(shares, dns_client) for dns_client in "bcdef"]
    assert later == [128, 64, 32, 16, 8]


def test_what_is_given_back_is_free_again() -> None:
    shares = Shares(8)
    for _ in range(3):
        assert taken_by(shares, "a") == 4
        for _ in range(4):
            shares.release("a")
    assert shares.in_use == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans())))
def test_no_more_are_taken_than_there_are(steps: list[tuple[str, bool]]) -> None:
    shares, own = Shares(16), {"a": 0, "b": 0, "c": 0}
    for dns_client, takes in steps:
        if takes:
            own[dns_client] += shares.acquire(dns_client)
        elif own[dns_client]:
            shares.release(dns_client)
            own[dns_client] -= 1
        assert shares.in_use == sum(own.values()) < 16
        assert all(count <= 8 for count in own.values())


def test_an_allowance_is_spent_and_comes_back_with_time() -> None:
    now = [0.0]
    allowance = Allowance(per_second=10, clock=lambda: now[0])
    assert [allowance.spend("a", 4) for _ in range(3)] == [True, True, False]
    assert allowance.spend("b", 10)
    now[0] = 0.2
    assert allowance.spend("a", 4) and not allowance.spend("a", 1)
    now[0] = 100.0
    assert allowance.spend("a", 10) and not allowance.spend("a", 1)


def test_what_is_owed_is_waited_for() -> None:
    now = [0.0]
    allowance = Allowance(per_second=10, clock=lambda: now[0])
    for _ in range(3):
        allowance.charge("a", 8)
    assert allowance.debt_seconds("a") == pytest.approx(1.4)
    assert not allowance.spend("a", 1)
    now[0] = 1.5
    assert allowance.debt_seconds("a") == 0


def test_no_more_askers_are_remembered_than_may_be() -> None:
    allowance = Allowance(per_second=1, clock=lambda: 0.0, max_clients=3)
    for number in range(10):
        assert allowance.spend(str(number), 1)
    assert len(allowance._buckets) <= 3


def test_a_failure_is_an_answer_to_its_question() -> None:
    query = dns.message.make_query("www.example.org", "AAAA", use_edns=0)
    answer = dns.message.from_wire(servfail(query.to_wire()) or b"")
    assert query.is_response(answer)
    assert answer.rcode() == dns.rcode.SERVFAIL and answer.flags & dns.flags.RA
    assert servfail(b"\0" * 12) is None and servfail(b"") is None
    assert servfail(query.to_wire()[:20]) is None


def test_datagrams_that_came_as_one_packet_are_known_by_their_size() -> None:
    assert gro_segment_bytes([(17, 104, b"\x21\0\0\0")]) == 33
    assert gro_segment_bytes([]) == gro_segment_bytes([(17, 103, b"\1\0\0\0")]) == 0


def test_a_flood_is_told_by_its_task_and_its_size() -> None:
    here = Attachment("0123456789abc", 7, "02:00:00:00:00:01", {}, None, ())

    def dropped(link: str, packets: int) -> dict[str, object]:
        return {"elem": {"val": link, "counter": {"packets": packets, "bytes": 60 * packets}}}

    (line,) = query_floods([dropped(here.name, 123_456), dropped("sh-gone", 5)], [here])
    assert line.startswith("task 0123456789abc exceeds the DNS query limit")
    assert "more than 100,000 queries dropped" in line
    assert "some queries dropped" in query_floods([dropped(here.name, 3)], [here])[0]
    assert query_floods([], [here]) == []
