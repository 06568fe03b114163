"""Addresses of tasks that ended while clients were led to them."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address

from agent.network.balancing.balance import Balance
from agent.network.balancing.frontends import Frontend, Kind, Services
from agent.network.balancing.silence import SECONDS, Silence
from agent.network.netlink.messages import SILENT, Route

ONE, TWO, SIX = IPv4Address("10.99.0.1"), IPv4Address("10.99.0.2"), IPv6Address("fd99::1")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_is_over_after_its_time() -> None:
    clock = Clock()
    silence = Silence(clock)
    (first,) = silence.begin([ONE])
    assert first == Route(IPv4Network("10.99.0.1/32"), SILENT)
    clock.now += SECONDS / 2
    silence.begin([TWO])
    assert silence.over() == []
    clock.now += SECONDS / 2
    assert silence.over() == [first] and silence.over() == [] and silence.lasts
    assert {route.destination for route in silence.beside(frozenset())} == {IPv4Network("10.99.0.2/32")}


def test_nothing_lasts_when_all_is_over() -> None:
    clock = Clock()
    silence = Silence(clock)
    lasts = [silence.lasts]
    silence.begin([ONE, SIX])
    lasts.append(silence.lasts)
    clock.now += SECONDS
    assert len(silence.over()) == 2
    assert [*lasts, silence.lasts] == [False, True, False]


def test_one_that_ends_again_is_silent_for_as_long_again() -> None:
    clock = Clock()
    silence = Silence(clock)
    silence.begin([ONE])
    clock.now += SECONDS / 2
    silence.begin([ONE])
    clock.now += SECONDS / 2
    assert silence.over() == []


def test_a_route_to_another_task_takes_its_place() -> None:
    silence = Silence(Clock())
    (first,) = silence.begin([ONE])
    other = Route(IPv4Network("10.99.0.2/32"), 7)
    assert silence.beside(frozenset({other})) == {first, other}
    given = Route(IPv4Network("10.99.0.1/32"), 8)
    assert silence.beside(frozenset({given})) == {given}


def test_only_addresses_that_clients_are_led_to() -> None:
    clock = Clock()
    balance = Balance(clock=clock)
    balance.follow(
        Services(
            {
                Frontend(Kind.VIRTUAL, "10.99.0.200"): frozenset({"10.99.0.1"}),
                Frontend(Kind.MESH6, "6 . 80"): frozenset({"fd99::1 . 80"}),
                Frontend(Kind.VIRTUAL, "10.99.0.201"): frozenset(),
            }
        )
    )
    assert balance.led_to([ONE, TWO, SIX]) == {ONE, SIX}
    balance.follow(Services())
    assert balance.led_to([ONE, TWO, SIX]) == {ONE, SIX}  # other nodes may still lead there
    clock.now += SECONDS
    assert not balance.led_to([ONE, TWO, SIX])
