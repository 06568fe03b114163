"""Our rules and elements against libnftables and the kernel, in a namespace of its own."""

import os
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

import pytest

from agent.network.attachment import Attachment, Port
from agent.network.kernel_features import missing
from agent.network.namespaces import enter_new
from agent.network.nftables import elements as nft
from agent.network.nftables.libnftables import Nftables
from agent.network.nftables.ruleset import chains, definition
from agent.network.tables import Subnet, Tables
from shoal.errors import Unavailable
from tests.integration.network.netns_hosts import inside

TABLES = Tables(
    subnets={
        "a": Subnet(IPv4Network("10.99.0.0/24"), internal=False),
        "b": Subnet(IPv4Network("10.99.1.0/24"), internal=True),
        "c": Subnet(IPv4Network("10.98.0.0/15"), internal=False),
    },
    peers={IPv4Address("172.31.9.2"): "02:56:ac:1f:09:02"},
)
ATTACHMENT = Attachment(
    task_id="0123456789abc",
    link=7,
    mac="02:00:00:00:00:01",
    addresses={"a": IPv4Address("10.99.0.7"), "b": IPv4Address("10.99.1.7")},
    exit_address=IPv4Address("10.99.0.7"),
    ports=(
        Port(6, None, 8080, 80),
        Port(17, None, 53, 5353),
        Port(132, None, 9, 9),
        Port(6, IPv4Address("127.0.0.1"), 81, 80),
    ),
)
POOL = IPv4Network("172.30.0.0/16")
UNDERLAY = IPv4Address("172.31.9.1")


@pytest.fixture
def tables() -> Iterator[Nftables]:
    descriptor, connection = enter_new()
    connection.close()
    with inside(descriptor):
        library = Nftables()
    yield library
    library.close()
    os.close(descriptor)


def test_elements_are_listed_as_they_were_written(tables: Nftables) -> None:
    without_c = Tables({key: TABLES.subnets[key] for key in "ab"}, TABLES.peers)
    wanted = nft.elements(without_c, [ATTACHMENT], POOL)
    tables.run(definition(4096, 4789, UNDERLAY) + nft.transaction(nft.NONE, wanted))
    assert nft.listed(tables.list_table("inet", "shoal")) == wanted

    fewer = nft.elements(Tables(), [], POOL)
    tables.run(nft.transaction(wanted, fewer))
    assert nft.listed(tables.list_table("inet", "shoal")) == fewer


def test_a_key_changes_its_value_in_one_transaction(tables: Nftables) -> None:
    tables.run(definition(4096, 4789, UNDERLAY))
    old = {"published": frozenset({"6 . 8080 : 10.99.0.7 . 80"})}
    new = {"published": frozenset({"6 . 8080 : 10.99.0.8 . 80"})}
    tables.run(nft.transaction(nft.NONE, old))
    tables.run(nft.transaction(old, new))
    assert nft.listed(tables.list_table("inet", "shoal"))["published"] == new["published"]


def test_rules_are_whole_until_one_is_touched(tables: Nftables) -> None:
    ours = chains(4096, 4789, UNDERLAY)
    assert not nft.rules_are_whole(tables.list_table("inet", "shoal"), ours)
    tables.run(definition(4096, 4789, UNDERLAY))
    assert nft.rules_are_whole(tables.list_table("inet", "shoal"), ours)
    for damage in (
        "flush chain inet shoal publish",
        "add rule inet shoal forward accept",
        "add chain inet shoal other",
        "delete map inet shoal published_at",
    ):
        if damage.startswith("delete map"):
            tables.run("flush chain inet shoal to_published")
        tables.run(damage)
        assert not nft.rules_are_whole(tables.list_table("inet", "shoal"), ours), damage
        tables.run(definition(4096, 4789, UNDERLAY))


def test_loading_again_takes_the_place_of_the_old_table_and_of_no_other(tables: Nftables) -> None:
    tables.run("add table inet other\nadd table ip shoal")
    tables.run(definition(4096, 4789, UNDERLAY))
    tables.run(definition(5000, 4790, UNDERLAY))
    assert tables.list_table("inet", "other")
    assert tables.list_table("ip", "shoal")
    assert tables.list_table("inet", "absent") == ()


def test_a_transaction_is_done_whole_or_not_at_all(tables: Nftables) -> None:
    tables.run(definition(4096, 4789, UNDERLAY))
    with pytest.raises(Unavailable, match="nftables refused"):
        tables.run("add element inet shoal peers { 172.31.9.9 }\ndelete element inet shoal peers { 172.31.9.8 }")
    assert nft.listed(tables.list_table("inet", "shoal"))["peers"] == frozenset()


def test_the_kernel_that_runs_this_lacks_nothing_and_the_question_leaves_nothing(tables: Nftables) -> None:
    assert list(missing(tables.run)) == []
    assert list(tables.list_table("inet", "shoal-probe")) == []
