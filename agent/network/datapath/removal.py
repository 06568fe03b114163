"""Removes everything of Shoal's from the host's network. Blocking."""

from agent.network import well_known
from agent.network.firewalls import docker_forwarding
from agent.network.netlink import rtnetlink, rtnetlink_dump
from agent.network.netlink.connection import Connection
from agent.network.nftables.libnftables import Nftables


def mark_ended(link: int) -> rtnetlink.Message:
    """Mark a container link, by its index, for the next deletion of all links of stopped tasks.

    Container links vanish with their namespaces at any moment: one that is gone needs no mark.
    """
    return rtnetlink.set_link(link, group=well_known.ENDED_GROUP)._replace(ignored_errors=rtnetlink.NOT_FOUND)


def remove_all(connection: Connection, nftables: Nftables) -> None:
    """Remove our table and our rules in other tables, container links, the overlay device, routing rules and routes.
    Containers lose their network.

    Raises:
        Unavailable: the kernel refused part of it.
    """
    nftables.run(
        f"add table {well_known.FAMILY} {well_known.TABLE}\ndelete table {well_known.FAMILY} {well_known.TABLE}"
    )
    docker_forwarding.remove_rules(nftables)
    links = rtnetlink_dump.links(connection)
    connection.apply(mark_ended(link.index) for link in links if well_known.is_container_link(link.name))
    connection.apply([rtnetlink.delete_group(well_known.ENDED_GROUP), rtnetlink.delete_link(well_known.VXLAN_DEVICE)])
    connection.apply(rtnetlink.delete_rule(rule) for rule in rtnetlink_dump.own_rules(connection))
    connection.apply(rtnetlink.delete_route(route) for route in rtnetlink_dump.own_routes(connection))
