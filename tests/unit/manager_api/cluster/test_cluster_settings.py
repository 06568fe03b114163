"""Settings of the cluster: each can be set alone, on top of a version."""

import asyncio
from dataclasses import replace

import pytest

from shoal.api.v1.cluster_pb2 import AddressPools
from shoal.api.v1.control_pb2 import GetClusterRequest, UpdateClusterRequest
from shoal.errors import Conflict, InvalidInput, PermissionDenied
from shoal.identity.roles import CertificateSubject, Role
from tests.unit.manager_api.cluster.cluster_rig import cluster_handler
from tests.unit.manager_api.control_rig import ADMIN


def test_each_setting_is_set_alone() -> None:
    async def run() -> None:
        async with cluster_handler() as cluster:
            await cluster.update(UpdateClusterRequest(image_repository="registry:5000/pool"), ADMIN)
            await cluster.update(UpdateClusterRequest(swarm_hidden=True), ADMIN)
            view = await cluster.update(UpdateClusterRequest(swarm_spec=b"{}"), ADMIN)
            assert (view.image_repository, view.swarm_hidden, view.swarm_spec) == ("registry:5000/pool", True, b"{}")
            view = await cluster.update(UpdateClusterRequest(swarm_hidden=False, image_repository=""), ADMIN)
            assert (view.image_repository, view.swarm_hidden, view.swarm_spec) == ("", False, b"{}")

    asyncio.run(run())


def test_an_update_names_the_version_that_it_is_based_on() -> None:
    async def run() -> None:
        async with cluster_handler() as cluster:
            first = await cluster.get(GetClusterRequest(), ADMIN)
            second = await cluster.update(
                UpdateClusterRequest(swarm_spec=b"a", settings_version=first.settings_version), ADMIN
            )
            assert second.settings_version > first.settings_version
            with pytest.raises(Conflict, match="have changed"):
                await cluster.update(
                    UpdateClusterRequest(swarm_spec=b"b", settings_version=first.settings_version), ADMIN
                )
            assert (await cluster.update(UpdateClusterRequest(), ADMIN)) == second

    asyncio.run(run())


def test_a_long_spec_is_refused() -> None:
    async def run() -> None:
        async with cluster_handler() as cluster:
            with pytest.raises(InvalidInput, match="swarm_spec"):
                await cluster.update(UpdateClusterRequest(swarm_spec=bytes(64 * 1024 + 1)), ADMIN)

    asyncio.run(run())


def test_an_engine_sets_the_swarm_side_and_no_image_repository() -> None:
    async def run() -> None:
        async with cluster_handler() as cluster:
            gateway = CertificateSubject("gate", Role.ENGINE, ADMIN.cluster)
            for caller in (replace(ADMIN, role=Role.ENGINE), replace(ADMIN, gateway=gateway)):
                assert (await cluster.update(UpdateClusterRequest(swarm_hidden=True), caller)).swarm_hidden
                with pytest.raises(PermissionDenied, match="administrators themselves"):
                    await cluster.update(UpdateClusterRequest(image_repository="registry:5000/other"), caller)

    asyncio.run(run())


def test_address_pools_are_the_usual_ones_until_they_are_set() -> None:
    async def run() -> None:
        async with cluster_handler() as cluster:
            usual = (await cluster.get(GetClusterRequest(), ADMIN)).address_pools
            assert usual == AddressPools(pools=["10.0.0.0/8"], prefix_length=24)
            pools = AddressPools(pools=["2.0.0.0/16", "3.0.0.0/16"], prefix_length=28)
            engine = replace(ADMIN, role=Role.ENGINE)
            assert (await cluster.update(UpdateClusterRequest(address_pools=pools), engine)).address_pools == pools
            assert (await cluster.update(UpdateClusterRequest(swarm_hidden=True), ADMIN)).address_pools == pools
            view = await cluster.update(UpdateClusterRequest(address_pools=AddressPools()), ADMIN)
            assert view.address_pools == usual

    asyncio.run(run())


@pytest.mark.parametrize(
    ("pools", "length", "fault"),
    [
        (["10.0.0.0/33"], 0, "must be an IPv4 network"),
        (["10.0.0.1/8"], 0, "must be an IPv4 network"),
        (["127.0.0.0/8"], 0, "addresses that networks cannot have"),
        (["10.0.0.0/25"], 24, "no room for a subnet of /24"),
        (["10.0.0.0/8", "10.1.0.0/16"], 0, "10.1.0.0/16 overlaps 10.0.0.0/8"),
        ([], 30, "prefix_length"),
        (["10.0.0.0/8"] * 65, 0, "the maximum is 64"),
    ],
)
def test_address_pools_that_cannot_be_used_are_refused(pools: list[str], length: int, fault: str) -> None:
    async def run() -> None:
        async with cluster_handler() as cluster:
            with pytest.raises(InvalidInput, match=fault):
                request = UpdateClusterRequest(address_pools=AddressPools(pools=pools, prefix_length=length))
                await cluster.update(request, ADMIN)

    asyncio.run(run())
