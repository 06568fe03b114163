"""Where others reach a container, and which connections are its clients'."""

from ipaddress import IPv4Address, IPv6Address

from agent.network.attachments.container_sockets import classify
from agent.network.netlink.sock_diag import Socket

ANY4, ANY6, HOME = IPv4Address("0.0.0.0"), IPv6Address("::"), IPv4Address("127.0.0.1")
OWN, CLIENT = IPv4Address("10.0.0.7"), IPv4Address("192.0.2.9")


def socket(
    port: int, address: IPv4Address | IPv6Address, remote: IPv4Address | IPv6Address, protocol: int = 6
) -> Socket:
    return Socket(protocol, address, port, remote, 0, 1)


def test_listeners_on_loopback_alone_are_told_apart() -> None:
    found = classify(
        [socket(80, ANY6, ANY6), socket(81, HOME, ANY4), socket(82, HOME, ANY4), socket(82, OWN, ANY4)], []
    )
    assert (found.reachable, found.loopback_only) == (frozenset({(6, 80), (6, 82)}), frozenset({(6, 81)}))


def test_clients_of_a_port_that_is_listened_on_count() -> None:
    mapped = IPv6Address("::ffff:192.0.2.9")
    assert classify([socket(80, ANY6, ANY6)], [socket(80, OWN, CLIENT), socket(80, OWN, mapped)]).connections == 2


def test_own_calls_do_not() -> None:
    outgoing, itself = socket(41_000, OWN, CLIENT), socket(80, HOME, HOME)
    mapped = socket(80, IPv6Address("::ffff:127.0.0.1"), IPv6Address("::ffff:127.0.0.1"))
    assert classify([socket(80, ANY4, ANY4)], [outgoing, itself, mapped]).connections == 0
