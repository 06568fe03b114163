"""Our rules and elements against libnftables and the kernel, in a namespace of its own."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from agent.network.attachments.attachment import Attachment, Port
from agent.network.attachments.namespaces import create_namespace
from agent.network.cluster_state.overlay_tables import OverlaySubnet, OverlayTables
from agent.network.host.kernel_features import missing_features
from agent.network.nftables import set_elements
from agent.network.nftables.libnftables import Nftables
from agent.network.nftables.rule_ports import RulePorts
from agent.network.nftables.ruleset import definition
from agent.network.nftables.ruleset_generation import KernelGeneration
from agent.network.nftables.shoal_table import ShoalTable, table_structure
from shoal.errors import Unavailable
from tests.integration.network.netns_hosts import inside

TABLES = OverlayTables(
    subnets={
        "a": OverlaySubnet(IPv4Network("10.99.0.0/24"), internal=False),
        "b": OverlaySubnet(IPv4Network("10.99.1.0/24"), internal=True),
        "c": OverlaySubnet(IPv4Network("10.98.0.0/15"), internal=False),
    },
    peers={IPv4Address("172.31.9.2"): "02:56:ac:1f:09:02"},
)
TABLES_WITHOUT_C = OverlayTables({key: TABLES.subnets[key] for key in "ab"}, TABLES.peers)
ATTACHMENT = Attachment(
    task_id="0123456789abc",
    link=7,
    mac="02:00:00:00:00:01",
    addresses={"a": IPv4Address("10.99.0.7"), "b": IPv4Address("10.99.1.7")},
    egress_address=IPv4Address("10.99.0.7"),
    ports=(
        Port(6, None, 8080, 80),
        Port(17, None, 53, 5353),
        Port(132, None, 9, 9),
        Port(6, IPv4Address("127.0.0.1"), 81, 80),
    ),
)
POOL = IPv4Network("172.30.0.0/16")
UNDERLAY = IPv4Address("172.31.9.1")
PORTS = RulePorts(4096, 4789, (51832, 51833))


def test_a_host_without_names_of_protocols_takes_the_rules() -> None:
    """Minimal installations lack /etc/protocols, which libnftables looks names up in."""
    script = "mount --bind /dev/null /etc/protocols && exec nft --check --file -"
    command = ["unshare", "--net", "--mount", "sh", "-c", script]
    rules = definition(PORTS, UNDERLAY)
    done = subprocess.run(command, input=rules, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


class CountedNftables(Nftables):
    """Knows how often a table was listed, and the generation of the tables in the same namespace."""

    def __init__(self) -> None:
        super().__init__()
        self.generation = KernelGeneration()
        self.listings = 0

    def close(self) -> None:
        super().close()
        self.generation.close()

    def list_table(self, family: str, name: str) -> Sequence[dict[str, Any]]:
        self.listings += 1
        return super().list_table(family, name)


@pytest.fixture
def tables() -> Iterator[CountedNftables]:
    descriptor, connection = create_namespace()
    connection.close()
    with inside(descriptor):
        library = CountedNftables()
    yield library
    library.close()
    os.close(descriptor)


def test_elements_are_listed_as_they_were_written(tables: CountedNftables) -> None:
    desired = set_elements.desired_elements(TABLES_WITHOUT_C, [ATTACHMENT], POOL)
    tables.run(definition(PORTS, UNDERLAY) + set_elements.transaction(set_elements.NO_ELEMENTS, desired))
    assert set_elements.parse_listing(tables.list_table("inet", "shoal")) == desired

    fewer = set_elements.desired_elements(OverlayTables(), [], POOL)
    tables.run(set_elements.transaction(desired, fewer))
    assert set_elements.parse_listing(tables.list_table("inet", "shoal")) == fewer


def test_a_key_changes_its_value_in_one_transaction(tables: CountedNftables) -> None:
    tables.run(definition(PORTS, UNDERLAY))
    old = {"published": frozenset({"6 . 8080 : 10.99.0.7 . 80"})}
    new = {"published": frozenset({"6 . 8080 : 10.99.0.8 . 80"})}
    tables.run(set_elements.transaction(set_elements.NO_ELEMENTS, old))
    tables.run(set_elements.transaction(old, new))
    assert set_elements.parse_listing(tables.list_table("inet", "shoal"))["published"] == new["published"]


DESIRED = set_elements.desired_elements(TABLES_WITHOUT_C, [ATTACHMENT], POOL)


def own_table(tables: CountedNftables, underlay: IPv4Address = UNDERLAY) -> ShoalTable:
    rules = definition(PORTS, underlay)
    return ShoalTable(nftables=tables, definition=rules, generation=tables.generation)


def test_a_table_that_was_right_is_not_listed_again_until_somebody_has_changed_one(tables: CountedNftables) -> None:
    own = own_table(tables)
    own.load(DESIRED)
    listings = tables.listings
    assert own.repair(DESIRED) == []
    assert tables.listings == listings

    for change in ("add table inet other", "delete table inet other"):
        tables.run(change)
        assert own.repair(DESIRED) == []
        listings += 1
        assert tables.listings == listings


def test_a_table_that_we_alone_change_stays_right(tables: CountedNftables) -> None:
    own, nothing = own_table(tables), set_elements.desired_elements(OverlayTables(), [], POOL)
    own.load(DESIRED)
    own.repair(DESIRED)
    listings = tables.listings
    own.change(DESIRED, nothing)
    assert own.repair(nothing) == [] and tables.listings == listings
    assert own.repair(DESIRED)
    assert set_elements.parse_listing(tables.list_table("inet", "shoal")) == DESIRED


def test_a_change_beside_another_programs_or_one_that_fails_is_verified(tables: CountedNftables) -> None:
    own = own_table(tables)
    own.load(DESIRED)
    own.repair(DESIRED)
    tables.run("delete element inet shoal peers { 172.31.9.2 }")
    own.change(set_elements.NO_ELEMENTS, {"peers": frozenset({"172.31.9.3"})})
    more = {**DESIRED, "peers": DESIRED["peers"] | {"172.31.9.3"}}
    assert own.repair(more) and not own.repair(more)
    with pytest.raises(Unavailable):
        own.change({"peers": frozenset({"172.31.9.99"})}, {})
    listings = tables.listings
    assert own.repair(more) == [] and tables.listings > listings


@pytest.mark.parametrize(
    "damage",
    [
        "delete table inet shoal",
        "flush chain inet shoal dnat_forwarded",
        "add rule inet shoal forward accept",
        "insert rule inet shoal from_container accept\ndelete rule inet shoal from_container handle {handle}",
        "add chain inet shoal other",
        "add chain inet shoal input {{ policy drop; }}",
        "flush chain inet shoal to_published\ndelete map inet shoal published_at",
    ],
)
def test_whatever_of_the_rules_is_changed_is_set_right_with_the_elements(tables: CountedNftables, damage: str) -> None:
    own = own_table(tables)
    own.load(DESIRED)
    assert own.repair(DESIRED) == []
    loaded = table_structure(tables.list_table("inet", "shoal"))
    tables.run(damage.format(handle=_handle(tables, "from_container")))
    assert table_structure(tables.list_table("inet", "shoal")) != loaded

    (reported,) = own.repair(DESIRED)
    assert "was missing or its rules were changed" in reported
    assert table_structure(tables.list_table("inet", "shoal")) == loaded
    assert set_elements.parse_listing(tables.list_table("inet", "shoal")) == DESIRED
    assert own.repair(DESIRED) == []


def _handle(tables: CountedNftables, chain: str) -> int:
    """Of the chain's first rule."""
    rules = (entry["rule"] for entry in tables.list_table("inet", "shoal") if "rule" in entry)
    return next(int(rule["handle"]) for rule in rules if rule["chain"] == chain)


def test_a_later_process_loads_its_own_rules_and_keeps_the_elements(tables: CountedNftables) -> None:
    own_table(tables).load(DESIRED)
    later = own_table(tables, IPv4Address("172.31.9.77"))
    nothing = set_elements.desired_elements(OverlayTables(), [], POOL)
    later.load(nothing)
    listed = tables.list_table("inet", "shoal")
    assert "172.31.9.77" in str(table_structure(listed)["rules", "source_nat"])
    assert str(UNDERLAY) not in str(table_structure(listed))
    assert set_elements.parse_listing(listed) == DESIRED


def test_elements_of_an_earlier_version_that_do_not_fit_are_dropped(tables: CountedNftables) -> None:
    tables.run("add table inet shoal\nadd set inet shoal peers { type ether_addr; }")
    tables.run("add element inet shoal peers { 02:00:00:00:00:07 }")
    own = own_table(tables)
    own.load(DESIRED)
    assert set_elements.parse_listing(tables.list_table("inet", "shoal")) == DESIRED


def test_loading_again_takes_the_place_of_the_old_table_and_of_no_other(tables: CountedNftables) -> None:
    tables.run("add table inet other\nadd table ip shoal")
    tables.run(definition(PORTS, UNDERLAY))
    tables.run(definition(RulePorts(5000, 4790), UNDERLAY))
    assert tables.list_table("inet", "other")
    assert tables.list_table("ip", "shoal")
    assert tables.list_table("inet", "absent") == ()


def test_a_transaction_is_done_whole_or_not_at_all(tables: CountedNftables) -> None:
    tables.run(definition(PORTS, UNDERLAY))
    with pytest.raises(Unavailable, match="nftables refused"):
        tables.run("add element inet shoal peers { 172.31.9.9 }\ndelete element inet shoal peers { 172.31.9.8 }")
    assert set_elements.parse_listing(tables.list_table("inet", "shoal"))["peers"] == frozenset()


def test_the_kernel_that_runs_this_lacks_nothing_and_the_question_leaves_nothing(tables: CountedNftables) -> None:
    assert list(missing_features(tables.run)) == []
    assert list(tables.list_table("inet", "shoal-probe")) == []
