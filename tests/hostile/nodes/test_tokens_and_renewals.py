"""A join token or a certificate in the wrong hands: a bounded number of nodes, certificates, records and seconds.

Before tokens had an end, who had one made 164 nodes a second for as long as the cluster stood.
"""

import asyncio
from pathlib import Path
from typing import Any

from grpc import StatusCode, aio

from manager.certificate_authority.join_limits import RENEWALS_AT_ONCE
from shoal.api.v1.certificate_authority_pb2 import JoinRequest, RenewRequest
from shoal.api.v1.certificate_authority_pb2_grpc import CertificateAuthorityStub
from shoal.api.v1.control_pb2 import (
    CreateJoinTokenRequest,
    ListJoinTokensRequest,
    ListNodesRequest,
    RemoveJoinTokensRequest,
)
from shoal.errors import Exhausted, ShoalError, Unauthenticated
from shoal.identity import certificates, join_token
from shoal.rpc.channel import connect_without_identity
from shoal.rpc.join import join, verified_root
from shoal.rpc.status_mapping import to_shoal_error
from tests.hostile.nodes.node_rig import cluster_with_hostile_node
from tests.integration.manager.manager_process import running_manager

USES = 5


async def nodes(control: Any) -> int:
    return len((await control.ListNodes(ListNodesRequest())).nodes)


def test_a_token_admits_as_many_as_it_is_for_and_none_once_it_is_removed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_manager(tmp_path) as (manager, control):
            made = await control.CreateJoinToken(CreateJoinTokenRequest(ttl_ms=60_000, uses=USES))
            joins = (join(manager.joining, made.token, f"h{number}") for number in range(4 * USES))
            outcomes = await asyncio.gather(*joins, return_exceptions=True)
            refused = [each for each in outcomes if isinstance(each, ShoalError)]
            assert len(refused) == 3 * USES
            assert all(isinstance(each, Unauthenticated) and "has been used by all" in str(each) for each in refused)
            assert await nodes(control) == USES
            (left,) = (await control.ListJoinTokens(ListJoinTokensRequest())).tokens
            assert (left.id, left.uses, left.uses_left) == (made.view.id, USES, 0)
            other = await control.CreateJoinToken(CreateJoinTokenRequest())
            await control.RemoveJoinTokens(RemoveJoinTokensRequest(ids=[other.view.id]))
            (refusal,) = await asyncio.gather(join(manager.joining, other.token, "h"), return_exceptions=True)
            assert isinstance(refusal, Unauthenticated)
            assert await nodes(control) == USES

    asyncio.run(scenario())


def test_joins_have_a_rate_whatever_the_token_is_for(tmp_path: Path) -> None:
    """A burst, then some twenty a second: the calls here take a few seconds."""

    async def scenario() -> None:
        async with running_manager(tmp_path) as (manager, control):
            made = await control.CreateJoinToken(CreateJoinTokenRequest(uses=100_000))
            key = certificates.new_key()  # one host, again and again: it is one node, and still counts

            request = JoinRequest(token=made.token, csr=certificates.request(key), hostname="h")
            root = await verified_root(manager.joining, join_token.parse(made.token))

            async def again() -> None:
                """The last step of a join alone: on a slow machine whole ones come no faster than they may."""
                async with connect_without_identity(manager.joining, root) as channel:
                    stub: Any = CertificateAuthorityStub(channel)
                    while True:
                        await stub.Join(request, timeout=60)

            async with asyncio.timeout(120):
                outcomes = await asyncio.gather(*(again() for _ in range(8)), return_exceptions=True)
            errors = [to_shoal_error(each) for each in outcomes if isinstance(each, aio.AioRpcError)]
            assert len(errors) == 8 and all(isinstance(each, Exhausted) for each in errors)
            assert await nodes(control) == 1
            (left,) = (await control.ListJoinTokens(ListJoinTokensRequest())).tokens
            assert left.uses_left == left.uses - 1

    asyncio.run(scenario())


def test_a_certificate_is_renewed_a_few_times_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster_with_hostile_node(tmp_path) as (_, control, node):
            csr = certificates.request(node.joined.identity.key)
            stub: Any = CertificateAuthorityStub(node.channel)
            renewed = 0
            try:
                while renewed <= RENEWALS_AT_ONCE + 1:
                    await stub.Renew(RenewRequest(csr=csr), timeout=60)
                    renewed += 1
            except aio.AioRpcError as error:
                assert error.code() == StatusCode.RESOURCE_EXHAUSTED
            assert RENEWALS_AT_ONCE <= renewed <= RENEWALS_AT_ONCE + 1
            await control.ListNodes(ListNodesRequest(), timeout=60)

    asyncio.run(scenario())
