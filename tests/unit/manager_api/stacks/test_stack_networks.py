"""Networks of a stack: their names, what changes of them, and when they are removed."""

import asyncio

import pytest

from manager.controllers.garbage_collector import GarbageCollector
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.cluster_pb2 import Leader
from shoal.api.v1.control_pb2 import (
    CreateNetworkRequest,
    CreateServiceRequest,
    ListNetworksRequest,
    RemoveServiceRequest,
    RemoveStackRequest,
)
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import AlreadyExists, InvalidInput, Refused
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api
from tests.unit.manager_api.stacks.example_stack import actions, shop


def test_a_network_may_have_a_name_of_its_own() -> None:
    async def scenario(api: Api) -> None:
        request = shop(spec_of("web"), networks=())
        request.networks.add(name="corp", stack="shop")
        request.services[0].task.networks.add(network="corp")
        answer = await api.stacks.deploy(request, ADMIN)
        assert actions(answer) == ["create network corp", "create service shop_web"]
        await api.stacks.remove(RemoveStackRequest(stack="shop"), ADMIN)
        assert not api.store.tables.networks

    with_api(scenario)


def test_anothers_network_is_not_taken_for_the_stacks_own() -> None:
    async def scenario(api: Api) -> None:
        others = (await api.networks.create(CreateNetworkRequest(spec=NetworkSpec(name="front")), ADMIN)).network
        request = shop(spec_of("web"))  # which brings a network "front" of its own
        request.services[0].task.networks[0].network = "front"
        await api.stacks.deploy(request, ADMIN)
        web = api.store.tables.service_named("shop_web")
        assert web is not None
        assert [each.network for each in web.spec.task.networks] == [others.meta.id]

    with_api(scenario)


def test_a_network_waits_for_its_last_task() -> None:
    async def scenario(api: Api) -> None:
        made = await api.stacks.deploy(shop(spec_of("web")), ADMIN)
        network, service = made.changes[0].id, made.changes[1].id
        await api.put_task("t1", service, network=network)
        await api.stacks.remove(RemoveStackRequest(stack="shop"), ADMIN)
        assert api.store.tables.networks[network].removing
        listed = (await api.networks.list(ListNetworksRequest(), ADMIN)).networks
        assert [each.problem for each in listed] == ["being removed, and will be gone once its last task has stopped"]
        with pytest.raises(AlreadyExists, match='network "shop_front" is being removed, and will be gone once'):
            await api.networks.create(CreateNetworkRequest(spec=NetworkSpec(name="shop_front")), ADMIN)
        changed = shop(spec_of("web"))
        changed.networks[0].internal = True
        with pytest.raises(InvalidInput, match="internal: cannot be changed yet: the former network is being removed"):
            await api.stacks.deploy(changed, ADMIN)
        with pytest.raises(InvalidInput, match="being removed"):
            spec = spec_of("other")
            spec.task.networks.add(network="shop_front")
            await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
        collecting = asyncio.create_task(_collect(api))
        await api.put_task("t1", service, network=network, state=TaskState.SHUTDOWN)
        async with asyncio.timeout(60):
            await collecting
        assert not api.store.tables.rows(kinds.NAME)

    with_api(scenario)


async def _collect(api: Api) -> None:
    """Run the collector of a term until the network is gone."""
    fence = await _lead(api)
    with api.store.follow() as changes:
        running = asyncio.create_task(GarbageCollector(store=api.store).run(fence))
        while api.store.tables.networks:
            await anext(changes)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _lead(api: Api) -> int:
    return await api.store.commit([put(kinds.LEADER, "", Leader(manager_id="m"))])


def test_a_stack_that_comes_back_keeps_its_network() -> None:
    async def scenario(api: Api) -> None:
        made = await api.stacks.deploy(shop(spec_of("web")), ADMIN)
        network = made.changes[0].id
        await api.put_task("t1", made.changes[1].id, network=network)
        await api.stacks.remove(RemoveStackRequest(stack="shop"), ADMIN)
        again = await api.stacks.deploy(shop(spec_of("web")), ADMIN)
        assert actions(again) == ["update network shop_front", "create service shop_web"]
        assert not api.store.tables.networks[network].removing

    with_api(scenario)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ipv6", True),
        ("subnet6", "fd01::/64"),
        ("gateway6", "fd01::7"),
        ("ip_range6", "fd01::1:0/112"),
        ("aux_addresses6", {"router": "fd01::9"}),
        ("subnet", "10.9.0.0/24"),
    ],
)
def test_what_cannot_change_of_a_network_is_told(field: str, value: object) -> None:
    async def scenario(api: Api) -> None:
        await api.stacks.deploy(shop(spec_of("web")), ADMIN)
        request = shop(spec_of("web"), networks=())
        request.networks.append(NetworkSpec(name="shop_front", stack="shop", **{field: value}))  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match=f"networks.shop_front.{field}: cannot be changed"):
            await api.stacks.deploy(request, ADMIN)

    with_api(scenario)


def test_a_network_that_others_use_stops_the_removal() -> None:
    async def scenario(api: Api) -> None:
        await api.stacks.deploy(shop(spec_of("web")), ADMIN)
        guest = spec_of("guest")
        guest.task.networks.add(network="shop_front")
        await api.services.create(CreateServiceRequest(spec=guest), ADMIN)
        with pytest.raises(Refused, match="in use by guest"):
            await api.stacks.remove(RemoveStackRequest(stack="shop"), ADMIN)
        assert api.store.tables.service_named("shop_web") is not None
        await api.services.remove(RemoveServiceRequest(service="guest"), ADMIN)
        await api.stacks.remove(RemoveStackRequest(stack="shop"), ADMIN)

    with_api(scenario)
