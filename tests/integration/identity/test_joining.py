"""Joining over real TLS: the right way, and everything that must not learn the token."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from manager.certificate_authority.join_limits import BURST, SECONDS_EACH
from manager.store import kinds
from manager.store.changes import delete
from shoal.api.v1.cluster_pb2 import ManagerAddress
from shoal.errors import Exhausted, InvalidInput, PermissionDenied, ShoalError, Timeout, Unauthenticated, Unavailable
from shoal.identity import certificates, join_token
from shoal.identity.identity import Identity
from shoal.identity.join_token import JoinToken
from shoal.identity.roles import CertificateSubject, Role
from shoal.rpc.join import find_managers, join
from shoal.rpc.renew import renew
from tests.integration.identity.rig import Cluster, foreign_authority, impostor, plain_listener, run, silent_listener


async def _refusal(address: str, token: str, *, timeout_seconds: float = 10.0) -> ShoalError:
    with pytest.raises(ShoalError) as caught:
        await join(address, token, "h1", timeout_seconds=timeout_seconds)
    assert "\n" not in str(caught.value)
    assert token[-25:] not in str(caught.value)
    return caught.value


def _wrong_secret(made: Cluster) -> str:
    ca = made.authority.cluster().ca_certificate
    return str(JoinToken(join_token.hash_of_ca(ca), join_token.new_secret()))


def test_a_node_joins_and_can_renew_until_it_is_removed() -> None:
    async def scenario(made: Cluster) -> None:
        joined = await join(made.joining, await made.token(), "h1")
        assert joined.managers == (ManagerAddress(id="m1", api_address="192.0.2.1:4242"),)
        assert await find_managers(made.joining, joined.identity.ca) == joined.managers
        assert certificates.subject_of(joined.identity.certificate) == CertificateSubject(
            joined.node_id, Role.AGENT, joined.cluster_id
        )
        assert joined.node_id in made.store.tables.nodes
        assert joined.identity.ca == made.authority.cluster().ca_certificate

        renewed = await renew([made.api], joined.identity)
        assert renewed.certificate != joined.identity.certificate
        assert renewed.key == joined.identity.key
        assert certificates.subject_of(renewed.certificate).id == joined.node_id
        assert (await renew([made.api], renewed)).certificate != renewed.certificate

        await made.store.commit([delete(kinds.NODE, joined.node_id)])
        with pytest.raises(PermissionDenied, match="removed"):
            await renew([made.api], renewed)

    run(scenario)


def test_managers_and_admins_renew_too() -> None:
    async def scenario(made: Cluster) -> None:
        for role in (Role.MANAGER, Role.ADMIN):
            renewed = await renew([made.api], made.identity(role))
            assert certificates.subject_of(renewed.certificate).role is role

    run(scenario)


def test_many_nodes_join_at_once() -> None:
    async def scenario(made: Cluster) -> None:
        token = await made.token()
        joined = await asyncio.gather(*(join(made.joining, token, f"h{n}") for n in range(8)))
        assert made.store.tables.nodes.keys() == {each.node_id for each in joined}

    run(scenario)


def test_a_wrong_secret_makes_no_node_and_guessing_is_bounded() -> None:
    async def scenario(made: Cluster) -> None:
        for _ in range(BURST):
            assert isinstance(await _refusal(made.joining, _wrong_secret(made)), Unauthenticated)
        assert isinstance(await _refusal(made.joining, _wrong_secret(made)), Exhausted)
        assert isinstance(await _refusal(made.joining, await made.token()), Exhausted)
        assert not made.store.tables.nodes
        made.now += SECONDS_EACH
        await join(made.joining, await made.token(), "h1")

    run(scenario)


def test_an_impostor_cannot_give_a_node_addresses_of_managers() -> None:
    async def scenario(made: Cluster) -> None:
        foreign = foreign_authority()
        shown = foreign.issue(CertificateSubject("m", Role.MANAGER, "elsewhere"), datetime.now(UTC))
        async with impostor(shown, foreign.certificate) as (address, _):
            with pytest.raises(ShoalError):
                await find_managers(address, made.authority.cluster().ca_certificate, timeout_seconds=2)

    run(scenario)


def test_a_rotated_token_lets_nobody_in() -> None:
    async def scenario(made: Cluster) -> None:
        old = await made.token()
        new, _ = await made.authority.tokens.rotate()
        error = await _refusal(made.joining, old)
        assert isinstance(error, Unauthenticated)
        assert "wrong, expired or removed" in str(error)
        await join(made.joining, new, "h1")

    run(scenario)


def test_a_manager_of_another_cluster_is_refused_and_learns_nothing() -> None:
    async def scenario(made: Cluster) -> None:
        foreign = foreign_authority()
        shown = foreign.issue(CertificateSubject("m", Role.MANAGER, "elsewhere"), datetime.now(UTC))
        async with impostor(shown, foreign.certificate) as (address, spy):
            error = await _refusal(address, await made.token())
            assert isinstance(error, Unauthenticated)
            assert "another cluster than the token" in str(error)
            assert spy.reported == []

    run(scenario)


def test_an_impostor_that_passes_the_right_root_on_gets_no_token() -> None:
    async def scenario(made: Cluster) -> None:
        root, now = made.authority.cluster().ca_certificate, datetime.now(UTC)
        shown = foreign_authority().issue(CertificateSubject("m", Role.MANAGER, made.authority.cluster().meta.id), now)
        async with impostor(shown, root) as (address, spy):
            error = await _refusal(address, await made.token())
            assert isinstance(error, Unauthenticated)
            assert "did not sign" in str(error)
            assert spy.reported == []

    run(scenario)


@pytest.mark.parametrize("root", [b"", b"nonsense"])
def test_an_impostor_without_a_root_gets_no_token(root: bytes) -> None:
    async def scenario(made: Cluster) -> None:
        async with impostor(made.shown, root) as (address, spy):
            assert isinstance(await _refusal(address, await made.token()), Unauthenticated)
            assert spy.reported == []

    run(scenario)


@pytest.mark.parametrize("role", [Role.AGENT, Role.ADMIN])
def test_a_node_or_a_user_of_the_cluster_cannot_pose_as_its_manager(role: Role) -> None:
    async def scenario(made: Cluster) -> None:
        async with impostor(made.identity(role), made.authority.cluster().ca_certificate) as (address, spy):
            assert isinstance(await _refusal(address, await made.token()), Unavailable)
            assert spy.reported == []

    run(scenario)


def test_an_expired_manager_gets_no_token() -> None:
    async def scenario(made: Cluster) -> None:
        root = made.authority.cluster().ca_certificate
        async with impostor(made.expired(Role.MANAGER), root) as (address, spy):
            assert isinstance(await _refusal(address, await made.token()), Unavailable)
            assert spy.reported == []

    run(scenario)


def test_an_answer_that_the_authority_did_not_sign_is_refused() -> None:
    async def scenario(made: Cluster) -> None:
        # The genuine certificate, but the answer to Join is empty.
        async with impostor(made.shown, made.authority.cluster().ca_certificate) as (address, _):
            error = await _refusal(address, await made.token())
            assert isinstance(error, Unauthenticated)
            assert "did not sign" in str(error)

    run(scenario)


def test_the_api_port_is_not_where_nodes_join() -> None:
    async def scenario(made: Cluster) -> None:
        error = await _refusal(made.api, await made.token())
        assert isinstance(error, Unavailable)
        assert "is not the join address of a Shoal cluster" in str(error)

    run(scenario)


def test_refused_not_tls_and_silent_are_distinguished() -> None:
    async def scenario(made: Cluster) -> None:
        token = await made.token()
        assert "cannot reach 127.0.0.1:1" in str(await _refusal("127.0.0.1:1", token))
        assert "cannot reach none.invalid:1" in str(await _refusal("none.invalid:1", token))
        async with plain_listener(b"SSH-2.0-x\r\n") as address:
            assert "does not speak TLS" in str(await _refusal(address, token))
        async with silent_listener() as address:
            assert isinstance(await _refusal(address, token, timeout_seconds=0.2), Timeout)

    run(scenario)


def test_a_bad_address_or_token_is_refused_before_a_call() -> None:
    async def scenario(made: Cluster) -> None:
        assert isinstance(await _refusal("h1", await made.token()), InvalidInput)
        assert isinstance(await _refusal(made.joining, "SHOAL-1-x"), InvalidInput)

    run(scenario)


def test_an_identity_survives_its_files_and_still_gets_through(tmp_path: Path) -> None:
    async def scenario(made: Cluster) -> None:
        joined = await join(made.joining, await made.token(), "h1")
        joined.identity.save(tmp_path)
        await renew([made.api], Identity.load(tmp_path))

    run(scenario)
