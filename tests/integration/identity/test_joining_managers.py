"""A manager that joins reveals its token to its cluster alone, and keeps nothing of what another one answers."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from manager.join_cluster import JoinFiles, join_cluster
from manager.settings import Settings
from shoal.api.v1.cluster_pb2 import JoinToken
from shoal.errors import Exhausted, Unauthenticated, Unavailable
from shoal.identity import identity
from shoal.identity.authority import Authority
from shoal.identity.roles import CertificateSubject, Role
from tests.integration.identity.rig import Cluster, impostor, run


def settings(directory: Path, address: str, token: str) -> Settings:
    return Settings(
        state_directory=directory / "manager",
        api_address="127.0.0.1:7440",
        join_address="127.0.0.1:7442",
        join=address,
        token=token,
    )


async def token_of(made: Cluster) -> str:
    token, _ = await made.authority.tokens.create(role=JoinToken.MANAGER)
    return token


def nothing_kept(directory: Path) -> bool:
    files = JoinFiles(directory / "manager")
    return not identity.is_complete(files.identity) and not (directory / "manager" / "cluster.key").exists()


def test_an_impostor_that_passes_the_right_root_on_gets_no_token(tmp_path: Path) -> None:
    async def scenario(made: Cluster) -> None:
        root, now = made.authority.cluster().ca_certificate, datetime.now(UTC)
        subject = CertificateSubject("m", Role.MANAGER, made.authority.cluster().meta.id)
        shown = Authority.create("other", now).issue(subject, now)
        async with impostor(shown, root) as (address, spy):
            with pytest.raises(Unauthenticated, match="did not sign"):
                await join_cluster(settings(tmp_path, address, await token_of(made)))
            assert spy.reported == []
            assert nothing_kept(tmp_path)

    run(scenario)


@pytest.mark.parametrize("role", [Role.AGENT, Role.ADMIN])
def test_a_node_or_a_user_cannot_pose_as_a_manager(tmp_path: Path, role: Role) -> None:
    async def scenario(made: Cluster) -> None:
        async with impostor(made.identity(role), made.authority.cluster().ca_certificate) as (address, spy):
            with pytest.raises(Unavailable):
                await join_cluster(settings(tmp_path, address, await token_of(made)))
            assert spy.reported == []
            assert nothing_kept(tmp_path)

    run(scenario)


def test_an_answer_that_the_authority_did_not_sign_is_not_kept(tmp_path: Path) -> None:
    async def scenario(made: Cluster) -> None:
        async with impostor(made.shown, made.authority.cluster().ca_certificate) as (address, spy):
            with pytest.raises(Unauthenticated, match="did not sign"):
                await join_cluster(settings(tmp_path, address, await token_of(made)))
            assert spy.reported, "this one has the right certificate"
            assert nothing_kept(tmp_path)

    run(scenario)


def test_a_wrong_token_gets_no_key_and_guessing_is_bounded(tmp_path: Path) -> None:
    async def scenario(made: Cluster) -> None:
        token = await token_of(made)
        wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
        for _ in range(8):
            with pytest.raises((Unauthenticated, Exhausted), match=r"invalid join token|too many invalid"):
                await join_cluster(settings(tmp_path, made.joining, wrong))
        assert nothing_kept(tmp_path)
        assert not made.store.tables.memberships

    run(scenario)


def test_without_a_token_nothing_is_asked(tmp_path: Path) -> None:
    async def scenario(made: Cluster) -> None:
        fresh = replace(settings(tmp_path, made.joining, "SHOAL-1-x"), join="", token="")
        await join_cluster(fresh)
        assert not (tmp_path / "manager").exists()

    run(scenario)
