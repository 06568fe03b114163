"""Names that one container alone knows, and the elements that let it reach what they stand for."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from agent.network.attachments.attachment import Attachment
from agent.network.dns.dns_clients import DnsClients, LinkedName
from agent.network.nftables.set_elements import link_elements
from shoal.container_ids import short_container_id

WEB, DB = "000000000web0"[:13], "0000000000db0"


def attachment(task_id: str, number: int, container_id: str, links: dict[str, str] | None = None) -> Attachment:
    address, address6 = IPv4Address(f"172.30.0.{number}"), IPv6Address(f"fd53::{number}")
    return Attachment(
        task_id,
        number,
        "02:00:00:00:00:01",
        {"": address},
        address,
        (),
        addresses6={"": address6},
        container_id=container_id,
        links=links or {},
    )


def test_a_link_leads_to_the_run_that_is_there() -> None:
    clients = DnsClients()
    web, db = attachment("t1", 1, WEB, {"db": DB}), attachment("t2", 2, DB)
    clients.add(web)

    def links() -> list[LinkedName]:
        client = clients.find(IPv4Address("172.30.0.1"))
        return [*client.links] if client is not None else []

    assert links() == [LinkedName("db", short_container_id(DB))]
    clients.add(db)
    assert links() == [LinkedName("db", short_container_id(DB), (db.addresses[""], db.addresses6[""]))]
    again = attachment("t3", 3, DB)
    clients.add(again)
    clients.remove("t2")
    assert [*links()[0].local] == [again.addresses[""], again.addresses6[""]]
    clients.remove("t3")
    assert links() == [LinkedName("db", short_container_id(DB))]
    other = clients.find(IPv4Address("172.30.0.2"))
    assert other is None


def test_a_link_on_networks_is_to_a_name_whoever_has_it() -> None:
    clients = DnsClients()
    clients.add(replace(attachment("t1", 1, WEB), aliases={"store": "db"}))
    client = clients.find(IPv4Address("172.30.0.1"))
    assert client is not None and [*client.links] == [LinkedName("store", "db")]


def test_the_address_of_a_container_in_the_nodes_own_pool() -> None:
    clients = DnsClients()
    clients.add(attachment("t2", 2, DB))
    assert (clients.local_address(DB), clients.local_address(WEB)) == ("172.30.0.2", "")


def test_clients_without_links_are_the_same_object_for_each_query() -> None:
    clients = DnsClients()
    clients.add(attachment("t2", 2, DB))
    assert clients.find(IPv4Address("172.30.0.2")) is clients.find(IPv4Address("172.30.0.2"))


def test_a_link_lets_its_owner_reach_the_other_one_and_nobody_else() -> None:
    web, db, third = (
        attachment("t1", 1, WEB, {"db": DB, "gone": "x"}),
        attachment("t2", 2, DB),
        attachment("t3", 3, "c"),
    )
    assert link_elements([web, db, third]) == {
        "same_network": frozenset({"172.30.0.1 . 172.30.0.2"}),
        "same_network6": frozenset({"fd53::1 . fd53::2"}),
    }
    assert link_elements([db, third]) == {}
    assert not any(link_elements([web, third]).values())
