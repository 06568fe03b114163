"""Addresses of tasks that ended while clients were led to them."""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_network

from agent.network.attachments.attachment import Attachment
from agent.network.balancing.blackhole_routes import BLACKHOLE_SECONDS, MAX_BLACKHOLE_SECONDS, BlackholeRoutes
from agent.network.balancing.load_balancer import LoadBalancer
from agent.network.cluster_state.diff import Diff
from agent.network.cluster_state.encrypted_overlay import EncryptedOverlay
from agent.network.cluster_state.overlay_tables import OverlayTables, removed_addresses
from agent.network.cluster_state.service_map import Frontend, FrontendKind, ServiceMap
from agent.network.ip_types import Address
from agent.network.netlink.rtnetlink import BLACKHOLE_LINK, KernelRoute, add_route, delete_route

ONE, TWO, SIX = IPv4Address("10.99.0.1"), IPv4Address("10.99.0.2"), IPv6Address("fd99::1")
NODE = IPv4Address("192.0.2.1")


class Node:
    """A clock, whom clients are led to, and who is attached."""

    def __init__(self) -> None:
        self.now = 100.0
        self.led_to: set[Address] = set()
        self.attached: list[Attachment] = []
        self.silence = BlackholeRoutes(
            clock=lambda: self.now, in_use=lambda some: self.led_to & set(some), attached=lambda: self.attached
        )

    def silent(self) -> set[Address]:
        return {route.destination.network_address for route in self.silence.routes}


def silent(address: Address) -> KernelRoute:
    return KernelRoute(ip_network(address), BLACKHOLE_LINK)


def attachment(*addresses: IPv4Address, link: int = 7) -> Attachment:
    return Attachment("task1", link, "02:00:00:00:00:01", {str(each): each for each in addresses}, None, ())


def removed(*addresses: Address) -> set[object]:
    return {delete_route(silent(address)) for address in addresses}


def test_it_is_over_after_its_time() -> None:
    node = Node()
    assert node.silence.add([ONE]) == [add_route(KernelRoute(IPv4Network("10.99.0.1/32"), BLACKHOLE_LINK))]
    node.now += BLACKHOLE_SECONDS / 2
    node.silence.add([TWO])
    assert node.silence.remove_expired() == []
    node.now += BLACKHOLE_SECONDS / 2
    assert set(node.silence.remove_expired()) == removed(ONE)
    assert node.silence.remove_expired() == [] and node.silence.is_active and node.silent() == {TWO}


def test_nothing_lasts_when_all_is_over() -> None:
    node = Node()
    lasts = [node.silence.is_active]
    node.silence.add([ONE, SIX])
    lasts.append(node.silence.is_active)
    node.now += BLACKHOLE_SECONDS
    assert set(node.silence.remove_expired()) == removed(ONE, SIX)
    assert [*lasts, node.silence.is_active] == [False, True, False]


def test_one_that_ends_again_is_silent_for_as_long_again() -> None:
    node = Node()
    node.silence.add([ONE])
    node.now += BLACKHOLE_SECONDS / 2
    node.silence.add([ONE])
    node.now += BLACKHOLE_SECONDS / 2
    assert node.silence.remove_expired() == []


def test_it_goes_on_while_clients_are_led_there_but_not_for_ever() -> None:
    node = Node()
    node.led_to = {ONE}
    node.silence.replace_ended([attachment(ONE)])
    node.now += 2 * BLACKHOLE_SECONDS
    assert node.silence.remove_expired() == []
    node.now += MAX_BLACKHOLE_SECONDS
    assert set(node.silence.remove_expired()) == removed(ONE)


def test_of_tasks_that_ended_those_stay_silent_that_clients_are_led_to() -> None:
    node = Node()
    node.led_to = {ONE}
    done = node.silence.replace_ended([attachment(ONE, TWO, link=7)])
    assert set(done) == {delete_route(KernelRoute(ip_network(ONE), 7))} | removed(TWO)
    assert node.silent() == {ONE}


def test_a_task_that_has_the_address_keeps_its_silent_route() -> None:
    node = Node()
    node.silence.add([ONE, TWO])
    node.attached = [attachment(ONE)]
    node.now += BLACKHOLE_SECONDS
    assert set(node.silence.remove_expired()) == removed(TWO)
    assert node.silence.add([ONE]) == [] and not node.silence.is_active


def test_what_an_earlier_process_left_lasts_on() -> None:
    node = Node()
    node.attached = [attachment(ONE)]
    node.silence.recover([silent(ONE), silent(TWO), silent(SIX)])
    assert node.silent() == {TWO, SIX}


def balance(now: list[float], services: ServiceMap) -> LoadBalancer:
    made = LoadBalancer(clock=lambda: now[0])
    made.apply(Diff(ServiceMap(), services))
    return made


def led_to(made: LoadBalancer, *addresses: Address) -> Collection[Address]:
    return made.in_use(addresses)


def test_only_addresses_that_clients_are_led_to() -> None:
    now = [100.0]
    services = ServiceMap(
        {
            Frontend(FrontendKind.VIRTUAL, "10.99.0.200"): frozenset({"10.99.0.1"}),
            Frontend(FrontendKind.MESH6, "6 . 80"): frozenset({"fd99::1 . 80"}),
            Frontend(FrontendKind.VIRTUAL, "10.99.0.201"): frozenset(),
        }
    )
    made = balance(now, services)
    assert led_to(made, ONE, TWO, SIX) == {ONE, SIX}
    made.apply(Diff(services, ServiceMap()))
    assert led_to(made, ONE, TWO, SIX) == {ONE, SIX}  # other nodes may still lead there
    now[0] += BLACKHOLE_SECONDS
    assert not led_to(made, ONE, TWO, SIX)


def test_other_nodes_lead_to_tasks_by_ports_that_this_node_does_not_lead() -> None:
    targets, targets6 = frozenset({"10.99.0.2 . 6 . 80"}), frozenset({"fd99::1 . 6 . 80"})
    assert led_to(balance([1.0], ServiceMap({}, targets, targets6)), ONE, TWO, SIX) == {TWO, SIX}


def test_attempts_may_be_left_for_a_moment_after_a_backend_was_withdrawn() -> None:
    now = [100.0]
    services = ServiceMap({Frontend(FrontendKind.VIRTUAL, "10.99.0.200"): frozenset({"10.99.0.1"})})
    made = balance(now, services)
    assert not made.withdrawn_recently([ONE, TWO], 1.0)
    made.apply(Diff(services, ServiceMap()))
    now[0] += 0.5
    assert made.withdrawn_recently([ONE, TWO], 1.0) == {ONE}
    now[0] += 0.5
    assert not made.withdrawn_recently([ONE, TWO], 1.0)


def test_addresses_that_a_step_takes_away() -> None:
    both, moved = OverlayTables(routes={ONE: NODE, TWO: NODE}), OverlayTables(routes={TWO: IPv4Address("192.0.2.2")})
    assert removed_addresses(both, moved) == {ONE}
    encrypted = OverlayTables(encrypted=EncryptedOverlay(locations={ONE: NODE, SIX: NODE}))
    assert removed_addresses(encrypted, OverlayTables(encrypted=EncryptedOverlay(locations={SIX: NODE}))) == {ONE}
