"""Rules for names, networks and nodes."""

import string
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.validation.bounds import MOMENT_MS
from manager.validation.network_rules import check_network
from manager.validation.node_rules import check_node
from manager.validation.text_rules import check_alias, check_name
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.node_pb2 import NodeSpec


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        (NetworkSpec(name="_ab"), "name"),
        (NetworkSpec(name="a", driver="macvlan"), "driver"),
        (NetworkSpec(name="host"), "name"),
        (NetworkSpec(name="a", options={"encryption": ""}), "options.encryption"),
        (NetworkSpec(name="a", options={"encrypted": "maybe"}), "options.encrypted"),
        (NetworkSpec(name="a", driver="bridge", options={"encrypted": ""}), "options.encrypted"),
        (NetworkSpec(name="a", gateway="10.1.0.1"), "gateway"),
        (NetworkSpec(name="a", subnet="10.1.0.0/24", gateway="10.2.0.1"), "gateway"),
        (NetworkSpec(name="a", subnet="10.1.0.0/24", gateway="10.1.0.255"), "gateway"),
        (NetworkSpec(name="a", subnet="10.1.0.0/24", gateway="x"), "gateway"),
        (NetworkSpec(name="a", subnet="10.1.0.0/24", ip_range="10.1.0.0/16"), "ip_range"),
        (NetworkSpec(name="a", subnet="10.1.0.0/24", ip_range="x"), "ip_range"),
        (NetworkSpec(name="a", subnet="10.1.0.0/24", aux_addresses={"printer": "10.2.0.1"}), "aux_addresses.printer"),
        (NetworkSpec(name="a", subnet="10.0.0.1/24"), "subnet"),
        (NetworkSpec(name="a", subnet="10.0.0.0/8"), "subnet"),
        (NetworkSpec(name="a", subnet="10.0.0.0/30"), "subnet"),
        (NetworkSpec(name="a", subnet="127.0.0.0/16"), "subnet"),
        (NetworkSpec(name="a", subnet="fd00::/64"), "subnet"),
        (NetworkSpec(name="a", subnet="x"), "subnet"),
    ],
)
def test_network_faults(spec: NetworkSpec, path: str) -> None:
    assert [fault.path for fault in check_network(spec)] == [path]


def test_good_networks_and_nodes() -> None:
    assert list(check_network(NetworkSpec(name="a", subnet="203.0.113.0/24"))) == []
    assert list(check_network(NetworkSpec(name="shop_a", stack="shop", driver="overlay"))) == []
    assert list(check_node(NodeSpec(labels={"disk": "ssd"}))) == []
    assert [fault.path for fault in check_node(NodeSpec(labels={"a=b": "c"}))] == ["labels"]


def test_a_drains_deadline_is_a_moment_that_can_be_written() -> None:
    spec = NodeSpec(availability=NodeSpec.DRAIN, drain_deadline_ms=MOMENT_MS)
    assert list(check_node(spec)) == []
    assert datetime.fromtimestamp(MOMENT_MS / 1000, UTC).year == 9999
    spec.drain_deadline_ms += 1
    assert [fault.path for fault in check_node(spec)] == ["drain_deadline_ms"]


@given(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?", fullmatch=True))
def test_every_name_that_docker_takes_is_one(name: str) -> None:
    assert list(check_name("name", name)) == []
    assert list(check_alias("alias", name)) == []


@given(st.text(max_size=70), st.booleans())
def test_names_hold_nothing_else(name: str, dotted: bool) -> None:
    fine = not list(check_name("name", name, dotted=dotted))
    allowed = set(string.ascii_letters + string.digits + "-_" + "." * dotted)
    assert fine == (0 < len(name) < 64 and set(name) <= allowed and name[0] not in "-_." and name[-1] not in "-_.")


def test_names_of_all_but_services_may_have_dots() -> None:
    assert list(check_network(NetworkSpec(name="My.Net_1"))) == []
    assert list(check_network(NetworkSpec(name="shop_back.end", stack="shop"))) == []


@pytest.mark.parametrize("alias", ["_x", "x_", "a._b", "a_.b", "a..b", "a b", ""])
def test_an_alias_is_a_host_name_with_underscores_within(alias: str) -> None:
    assert [fault.path for fault in check_alias("alias", alias)] == ["alias"]
