"""Elements of frontends as they follow changes: of services, and of those that this node does not serve."""

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from agent.network.balancing.load_balancer import BalanceChange, LoadBalancer
from agent.network.cluster_state.diff import Diff
from agent.network.cluster_state.service_map import Frontend, FrontendKind, ServiceMap
from agent.network.cluster_state.service_map_state import ServiceMapState

FRONTENDS = [
    Frontend(FrontendKind.VIRTUAL, "10.99.0.200"),
    Frontend(FrontendKind.MESH, "6 . 80"),
    Frontend(FrontendKind.MESH_AT6, "6 . fd99::9 . 81"),
]
SERVICES = st.builds(
    ServiceMap,
    st.dictionaries(
        st.sampled_from(FRONTENDS), st.frozensets(st.integers(1, 9).map(lambda last: f"10.99.0.{last} . 80"))
    ),
    st.frozensets(st.sampled_from(["10.99.0.1 . 6 . 80", "10.99.0.2 . 6 . 80"])),
)
EXCLUDED = st.frozensets(st.sampled_from(FRONTENDS[1:]))
NO_CHANGE = Diff(ServiceMap(), ServiceMap())


def follow(held: dict[str, set[str]], change: BalanceChange) -> None:
    """Remove and add what a change says: what it removes is there, what it adds is not."""
    for name in change.before.keys() | change.after.keys():
        before, after = change.before.get(name, frozenset()), change.after.get(name, frozenset())
        own = held.setdefault(name, set())
        assert before - after <= own and own.isdisjoint(after - before), name
        own -= before - after
        own |= after - before


@given(st.lists(st.tuples(SERVICES, EXCLUDED), max_size=8))
def test_elements_that_follow_changes_are_those_of_the_whole(
    steps: list[tuple[ServiceMap, frozenset[Frontend]]],
) -> None:
    balancer, known, held = LoadBalancer(clock=lambda: 7.0), ServiceMapState(), dict[str, set[str]]()
    previous: list[ServiceMap] = []
    for services, excluded in steps:
        follow(held, balancer.apply(known.apply(previous, [services]), excluded))
        previous = [services]
        assert balancer.services() == services
        assert {name: own for name, own in held.items() if own} == {
            name: own for name, own in balancer.elements().items() if own
        }
        keys = {element for name in ("virtual_ips", "mesh_ports") for element in held.get(name, ())}
        served = services.backends.keys() - excluded
        assert keys == {each.key for each in served if each.kind is not FrontendKind.MESH_AT6}


def test_a_frontend_that_is_excluded_withdraws_its_backends_and_gets_them_again() -> None:
    balancer = LoadBalancer(clock=lambda: 7.0)
    web = FRONTENDS[1]
    whole = balancer.apply(Diff(ServiceMap(), ServiceMap({web: frozenset({"10.99.0.1 . 80"})})))
    excluded = balancer.apply(NO_CHANGE, frozenset({web}))
    assert excluded.withdrawn == {IPv4Address("10.99.0.1")}
    assert (excluded.before["mesh_64"], excluded.after.get("mesh_64")) == (whole.after["mesh_64"], None)
    assert balancer.elements()["mesh_ports"] == frozenset() and balancer.services().backends.keys() == {web}
    added = Diff(ServiceMap({web: frozenset()}), ServiceMap({web: frozenset({"10.99.0.2 . 80"})}))
    meanwhile = balancer.apply(added, frozenset({web}))
    assert not meanwhile.withdrawn and not any((*meanwhile.before.values(), *meanwhile.after.values()))
    again = balancer.apply(NO_CHANGE)
    assert again.after["mesh_ports"] == {"6 . 80"}
    assert {element.partition(" : ")[2] for element in again.after["mesh_64"]} == {"10.99.0.1 . 80", "10.99.0.2 . 80"}


def test_two_services_may_share_a_frontend_and_a_backend() -> None:
    known, web = ServiceMapState(), FRONTENDS[1]
    one = ServiceMap({web: frozenset({"10.99.0.1 . 80", "10.99.0.2 . 80"})})
    two = ServiceMap({web: frozenset({"10.99.0.2 . 80"})})
    first = known.apply([], [one, two])
    assert (first.removed, first.added) == (ServiceMap(), one)
    less = known.apply([one], [])
    assert (less.removed, less.added) == (
        ServiceMap({web: frozenset({"10.99.0.1 . 80"})}),
        ServiceMap({web: frozenset()}),
    )
    assert known.apply([two], [two]) == NO_CHANGE
    last = known.apply([two], [])
    assert (last.removed, last.added) == (two, ServiceMap())
