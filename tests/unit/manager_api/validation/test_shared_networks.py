"""Services that share the network of another one's tasks: what they cannot have, and which services they can name."""

from collections.abc import Callable

import pytest

from manager.services.task_counts import desired
from manager.store import kinds
from manager.store.changes import put
from manager.validation.service_rules import check_service
from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    RemoveServiceRequest,
    RemoveStackRequest,
    UpdateServiceRequest,
)
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import (
    Affinity,
    Dependency,
    Global,
    NetworkAttachment,
    Preference,
    PublishedPort,
    ReplicatedJob,
    ServiceSpec,
)
from shoal.errors import InvalidInput, Refused
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api
from tests.unit.manager_api.stack_requests import stack_request


def sharing(name: str = "app", *, of: str = "db", replicas: int = 2) -> ServiceSpec:
    spec = spec_of(name, replicas=replicas)
    spec.task.networks.append(NetworkAttachment(network=f"service:{of}"))
    return spec


def everywhere(spec: ServiceSpec) -> ServiceSpec:
    getattr(spec, "global").CopyFrom(Global())
    return spec


Change = Callable[[ServiceSpec], object]
CONFLICTS: list[tuple[Change, str]] = [
    (lambda s: s.endpoint.ports.append(PublishedPort(target=80, published=8080)), "endpoint.ports"),
    (lambda s: setattr(s.task.container, "hostname", "web"), "task.container.hostname"),
    (lambda s: setattr(s.task.container, "domainname", "example.org"), "task.container.domainname"),
    (lambda s: s.task.container.dns.nameservers.append("192.0.2.1"), "task.container.dns"),
    (lambda s: s.task.container.dns.search.append("example.org"), "task.container.dns"),
    (lambda s: s.task.container.dns.options.append("ndots:2"), "task.container.dns"),
    (lambda s: s.task.container.extra_hosts.append("a:192.0.2.1"), "task.container.extra_hosts"),
    (lambda s: s.task.container.sysctls.update({"net.ipv4.ip_forward": "1"}), "task.container.sysctls"),
    (lambda s: s.task.container.sysctls.update({"net/ipv4/ip_forward": "1"}), "task.container.sysctls"),
]


@pytest.mark.parametrize(("change", "path"), CONFLICTS)
def test_settings_of_the_network_are_the_others(change: Change, path: str) -> None:
    spec = sharing()
    change(spec)
    (fault,) = check_service(spec)
    assert fault.path == path
    assert fault.message.endswith(' cannot be combined with network "service:db"; configure it on service "db"')


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda s: s.task.networks.append(NetworkAttachment(network="host")), "task.networks"),
        (lambda s: s.task.networks[0].aliases.append("www"), "task.networks[0]"),
        (lambda s: setattr(s.task.networks[0], "address", "10.0.0.7"), "task.networks[0]"),
        (lambda s: setattr(s.task.networks[0], "network", "service:"), "task.networks[0].network"),
        (lambda s: s.task.placement.spread.append("node.labels.zone"), "task.placement.spread"),
        (lambda s: s.task.placement.preferences.append(Preference(binpack="load")), "task.placement.preferences"),
        (lambda s: s.task.placement.affinities.append(Affinity(service="db")), "task.placement.affinities"),
        (lambda s: setattr(s.task.placement, "max_per_node", 1), "task.placement.max_per_node"),
        (lambda s: s.replicated_job.CopyFrom(ReplicatedJob(total_completions=2)), "mode"),
    ],
)
def test_what_else_it_cannot_have(change: Change, path: str) -> None:
    spec = sharing()
    change(spec)
    assert [fault.path for fault in check_service(spec)] == [path]


def test_what_it_may_have_of_its_own() -> None:
    spec = sharing()
    spec.task.placement.constraints.append("node.labels.disk == ssd")
    spec.task.container.sysctls["kernel.shm_rmid_forced"] = "1"
    assert not list(check_service(spec))


async def reported(api: Api, *specs: ServiceSpec) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        for spec in specs:
            await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
    return [fault.message for fault in caught.value.faults]


def test_the_other_service_exists_has_a_network_and_is_of_the_same_mode() -> None:
    async def scenario(api: Api) -> None:
        assert await reported(api, sharing()) == ['service "db" not found']
        assert await reported(api, sharing("db")) == ["a service cannot share its own network; remove it"]
        await api.services.create(CreateServiceRequest(spec=spec_of("db")), ADMIN)
        await api.services.create(CreateServiceRequest(spec=sharing(replicas=5)), ADMIN)
        assert await reported(api, sharing("more", of="app")) == [
            'service "app" itself shares the network of service "db"; name service "db" instead'
        ]
        assert await reported(api, everywhere(sharing("agent"))) == [
            'is global, but service "db", whose network it shares, is replicated; both must be the same'
        ]
        job = spec_of("once")
        job.replicated_job.total_completions = 1
        assert await reported(api, job, sharing("more", of="once")) == [
            'service "once" is a job; a network can be shared with long-running services only'
        ]

    with_api(scenario)


def test_a_service_whose_network_is_shared_keeps_it_and_stays() -> None:
    async def scenario(api: Api) -> None:
        for spec in (spec_of("db"), spec_of("other"), sharing()):
            created = await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
        db = api.store.tables.service_named("db")
        assert db is not None
        changed = sharing("db", of="other")
        with pytest.raises(
            InvalidInput, match="the network of this service is shared by app; update or remove them first"
        ):
            await api.services.update(UpdateServiceRequest(service="db", version=db.meta.version, spec=changed), ADMIN)
        with pytest.raises(
            Refused, match='the network of service "db" is shared by service "app"; remove that service first'
        ):
            await api.services.remove(RemoveServiceRequest(service="db"), ADMIN)
        along = ["nobody", created.service.meta.id, "db"]
        await api.services.remove(RemoveServiceRequest(service="db", removed_with=along), ADMIN)
        await api.services.remove(RemoveServiceRequest(service="app", removed_with=along), ADMIN)

    with_api(scenario)


def test_who_waits_for_whom_makes_no_circle() -> None:
    async def scenario(api: Api) -> None:
        db = spec_of("db")
        db.depends_on.add(service="shop_app", condition=Dependency.STARTED)
        with pytest.raises(InvalidInput) as caught:
            await api.stacks.deploy(stack_request("shop", services=[db, sharing()]), ADMIN)
        assert "services.shop_db.depends_on: dependency cycle: shop_db → shop_app → shop_db" in map(
            str, caught.value.faults
        )

    with_api(scenario)


def test_names_are_those_of_the_stack_which_goes_as_a_whole() -> None:
    async def scenario(api: Api) -> None:
        own = [spec_of("db"), sharing()]
        await api.stacks.deploy(stack_request("shop", services=own), ADMIN)
        stored = api.store.tables.service_named("shop_app")
        assert stored is not None
        assert [each.network for each in stored.spec.task.networks] == ["service:shop_db"]
        again = await api.stacks.deploy(stack_request("shop", services=own), ADMIN)
        assert {change.action for change in again.changes} == {"unchanged"}
        with pytest.raises(InvalidInput, match='service "shop_db" not found'):
            await api.stacks.deploy(stack_request("shop", services=[sharing(of="shop_db")], prune=True), ADMIN)
        await api.services.create(CreateServiceRequest(spec=sharing("beside", of="shop_db")), ADMIN)
        with pytest.raises(Refused, match='shared by service "beside"'):
            await api.stacks.remove(RemoveStackRequest(stack="shop"), ADMIN)
        await api.services.remove(RemoveServiceRequest(service="beside"), ADMIN)
        away = stack_request("shop", services=[spec_of("app")], prune=True)
        away.services[0].task.networks.append(NetworkAttachment(network="bridge"))
        await api.stacks.deploy(away, ADMIN)
        assert api.store.tables.service_named("shop_db") is None
        await api.stacks.remove(RemoveStackRequest(stack="shop"), ADMIN)

    with_api(scenario)


def test_a_global_one_wants_tasks_where_both_may_be() -> None:
    async def scenario(api: Api) -> None:
        for number, disk in enumerate(("ssd", "ssd", "hdd")):
            spec = NodeSpec(availability=NodeSpec.ACTIVE, labels={"disk": disk})
            status = NodeStatus(node_id=f"n{number}", state=NodeStatus.READY)
            status.description.CopyFrom(NodeDescription(hostname=f"h{number}"))
            await api.store.commit(
                [
                    put(kinds.NODE, f"n{number}", Node(meta=Meta(id=f"n{number}"), spec=spec)),
                    put(kinds.NODE_STATUS, f"n{number}", status),
                ]
            )
        db = everywhere(spec_of("db"))
        db.task.placement.constraints.append("node.labels.disk == ssd")
        app = everywhere(sharing())
        app.task.placement.constraints.append("node.hostname != h0")
        for each in (db, app):
            await api.services.create(CreateServiceRequest(spec=each), ADMIN)
        found = api.store.tables.service_named("app")
        assert found is not None and desired(api.store.tables, found) == 1

    with_api(scenario)
