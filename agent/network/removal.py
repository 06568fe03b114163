"""Removing everything of ours from a host's network, whoever left it. Blocking."""

from agent.network import beside_docker, names
from agent.network.netlink import inventory, messages
from agent.network.netlink.connection import Connection
from agent.network.nftables.libnftables import Nftables


def ended(link: int) -> messages.Message:
    """Mark a container's link, by its index, for the next deletion of all that ended.

    Links of containers vanish with their namespaces at any moment: one that is gone needs no mark.
    """
    return messages.set_link(link, group=names.ENDED_GROUP)._replace(harmless=messages.GONE)


def remove_everything(connection: Connection, nftables: Nftables) -> None:
    """The table and our rules in others', containers' links, the open tunnel, rules and routes. Containers lose their
    network.

    Raises:
        Unavailable: the kernel refused some.
    """
    nftables.run(f"add table {names.FAMILY} {names.TABLE}\ndelete table {names.FAMILY} {names.TABLE}")
    beside_docker.withdraw(nftables)
    links = inventory.links(connection)
    connection.apply(ended(link.index) for link in links if names.is_ours(link.name))
    connection.apply([messages.delete_group(names.ENDED_GROUP), messages.delete_link(names.VXLAN_DEVICE)])
    connection.apply(messages.delete_rule(rule) for rule in inventory.own_rules(connection))
    connection.apply(messages.delete_route(route) for route in inventory.own_routes(connection))
