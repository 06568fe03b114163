"""Services of more tasks than connections can be spread over."""

import pytest

from manager.validation.load_balancing_rules import balance_warnings
from manager.validation.service_rules import check_service
from shoal.api.v1.service_pb2 import Endpoint, PublishedPort, ServiceSpec
from tests.unit.manager_api.control_rig import spec_of


def service(replicas: int, *, network: str = "", port: bool = False, mode: str = "VIP") -> ServiceSpec:
    spec = spec_of()
    spec.name = "web"
    spec.replicated.replicas = replicas
    spec.endpoint.mode = Endpoint.Mode.Value(mode)
    if network:
        spec.task.networks.add(network=network)
    if port:
        spec.endpoint.ports.add(target=80, published=8080, mode=PublishedPort.INGRESS)
    return spec


def reported(spec: ServiceSpec) -> list[str]:
    return [fault.message for fault in check_service(spec)]


@pytest.mark.parametrize(
    "spec", [service(65_537, network="front"), service(65_537, port=True), service(65_537, port=True, mode="DNSRR")]
)
def test_more_tasks_than_slots_are_refused_where_connections_are_spread(spec: ServiceSpec) -> None:
    assert reported(spec) == [
        "load balancing supports at most 65,536 tasks; use endpoint mode dnsrr, or several services"
    ]


@pytest.mark.parametrize(
    "spec",
    [
        service(65_536, network="front"),
        service(100_000),
        service(100_000, network="host"),
        service(100_000, network="front", mode="DNSRR"),
    ],
)
def test_others_may_be_larger(spec: ServiceSpec) -> None:
    assert not reported(spec)


def test_an_autoscaled_service_is_as_large_as_it_may_become() -> None:
    spec = service(1, network="front")
    spec.autoscale.min_replicas, spec.autoscale.max_replicas, spec.autoscale.cpu_percent = 1, 65_537, 50
    spec.task.reservations.nano_cpus = 1_000_000_000
    assert [fault.path for fault in check_service(spec)] == ["autoscale.max_replicas"]


def test_uneven_shares_are_warned_of() -> None:
    assert not list(balance_warnings(service(8_192, network="front")))
    assert not list(balance_warnings(service(100_000)))
    assert list(balance_warnings(service(8_193, network="front"))) == [
        "web: with more than 8,192 tasks, some tasks receive up to twice as many connections as others"
    ]
