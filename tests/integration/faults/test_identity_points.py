"""Whoever joins, renews a certificate or makes a key is killed at each step, and done again it is there: once, with a
key that fits, and with no other key left on the disk."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from shoal.api.v1.control_pb2 import (
    ListJoinTokensRequest,
    ListManagersRequest,
    ListNodesRequest,
)
from shoal.contexts.context_store import ContextStore
from shoal.identity import certificates
from shoal.identity.identity import Identity
from shoal.rpc.join import join
from tests.integration.faults.faulty_manager import await_death, start_with_faults
from tests.integration.manager.manager_process import (
    ManagerProcess,
    join_token_of,
    running_manager,
    until,
    until_registered,
)

ROOT = Path(__file__).parents[3]
DRAFT = "shared.private-file.draft-written"
SAVED = ("shared.identity.ca-written", "shared.identity.certificate-written")
JOIN = ("agent.join.key-saved", "agent.join.answered", "agent.join.identity-saved")
RENEWAL = "agent.renew.answered"
ISSUED = "manager.renew.issued"
PREVIOUS_KEY = "shared.cluster-key.previous-saved"
IDENTITY_POINTS = (*JOIN, RENEWAL, ISSUED, PREVIOUS_KEY, DRAFT, *SAVED)

JOINS = """
import asyncio, sys
from pathlib import Path
from agent.membership import join_if_new
from agent.settings import AgentSettings
state, address, token = sys.argv[1:]
asyncio.run(join_if_new(AgentSettings(state_directory=Path(state), join=address, token=token), "h1"))
"""
RENEWS_AS_AGENT = """
import asyncio, sys
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from agent.membership import Membership
from agent.session.manager_list import ManagerList
from shoal.api.v1.cluster_pb2 import ManagerAddress

async def main():
    state = Path(sys.argv[1])
    managers = ManagerList(
        state / "managers.json", node_id="n", initial=[ManagerAddress(id="m", api_address=sys.argv[2])]
    )
    later = lambda: datetime.now(UTC) + timedelta(days=60)
    membership = Membership(directory=state / "identity", now=later)
    task = asyncio.create_task(membership.renew_certificate(managers))
    async with aclosing(membership.changes()) as changes:
        await anext(changes)
        await anext(changes)
    task.cancel()

asyncio.run(main())
"""
RENEWS_CONTEXT = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shoal.contexts.certificate_renewal import renew_if_due
from shoal.contexts.context_store import ContextStore
problem = renew_if_due(ContextStore(Path(sys.argv[1])).get("c"), datetime.now(UTC) + timedelta(days=300))
assert problem is None, problem
"""


def run(program: Iterable[str], faults: str) -> "subprocess.CompletedProcess[str]":
    """One of the programs, with faults."""
    environment: Mapping[str, str] = {**os.environ, "SHOAL_FAULTS": faults}
    return subprocess.run(
        [sys.executable, *program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90, check=False
    )


async def dies(program: Iterable[str], faults: str) -> None:
    done = await asyncio.to_thread(run, program, faults)
    assert done.returncode == -9 and "fault point " in done.stderr, f"{faults}: {done.stderr}"


async def succeeds(program: Iterable[str]) -> None:
    done = await asyncio.to_thread(run, program, "")
    assert done.returncode == 0, done.stderr


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def checked(directory: Path) -> Identity:
    """The identity that is there, which is of one piece."""
    found = Identity.load(directory)
    assert certificates.key_matches(found.certificate, found.key)
    assert certificates.is_signed_by(found.certificate, found.ca)
    return found


IDENTITY = ["identity/ca.pem", "identity/cert.pem", "identity/key.pem"]


@pytest.mark.timeout(390)
def test_a_host_joins_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        state = tmp_path / "agent"
        state.mkdir()
        async with running_manager(tmp_path) as (manager, control):
            joins = ("-c", JOINS, str(state), manager.joining, await join_token_of(control))
            for point in (DRAFT, JOIN[0], JOIN[1], *SAVED, f"{DRAFT}=kill@2", JOIN[2]):
                await dies(joins, point if "=" in point else f"{point}=kill")
            await succeeds(joins)
            assert files(state) == IDENTITY
            joined = checked(state / "identity")
            (node,) = (await control.ListNodes(ListNodesRequest(), timeout=10)).nodes
            assert node.node.meta.id == certificates.subject_of(joined.certificate).id
            assert await uses(control) == 1

    asyncio.run(scenario())


@pytest.mark.timeout(390)
def test_a_node_renews_its_certificate(tmp_path: Path) -> None:
    async def scenario() -> None:
        state = tmp_path / "agent"
        async with running_manager(tmp_path) as (manager, control):
            joined = (await join(manager.joining, await join_token_of(control), "h1")).identity
            joined.save(state / "identity")
            renews = ("-c", RENEWS_AS_AGENT, str(state), manager.api)
            for point in (RENEWAL, *SAVED, DRAFT):
                await dies(renews, f"{point}=kill")
                assert checked(state / "identity").key == joined.key
            await succeeds(renews)
            assert files(state) == [*IDENTITY, "managers.json"]
            renewed = checked(state / "identity")
            assert renewed.certificate != joined.certificate
            assert certificates.subject_of(renewed.certificate) == certificates.subject_of(joined.certificate)

    asyncio.run(scenario())


async def uses(control: Any) -> int:
    """Of all tokens of agents."""
    tokens = (await control.ListJoinTokens(ListJoinTokensRequest(), timeout=10)).tokens
    return sum(each.uses - each.uses_left for each in tokens if each.role == "agent")


@pytest.mark.timeout(390)
def test_a_context_is_renewed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_manager(tmp_path) as (manager, _):
            first = Identity.load(manager.state / "admin")
            context = ContextStore(tmp_path / "config").create("c", first, [manager.api])
            before = files(context.directory)
            renews = ("-c", RENEWS_CONTEXT, str(tmp_path / "config"))
            for point in (*SAVED, DRAFT):
                await dies(renews, f"{point}=kill")
                assert checked(context.directory).key == first.key
            await succeeds(renews)
            assert files(context.directory) == before
            assert checked(context.directory).certificate != first.certificate

    asyncio.run(scenario())


CA, CERTIFICATE = SAVED
FIRST = (f"{DRAFT}=kill", f"{ISSUED}=kill", f"{CA}=kill", f"{CERTIFICATE}=kill")
LATER = (f"{CERTIFICATE}=kill@2", f"{CA}=kill@2", f"{CERTIFICATE}=kill@2")
"""Each start makes one identity more: the manager's own, an administrator's, an engine's, a console's."""


@pytest.mark.timeout(390)
@pytest.mark.parametrize("faults", [FIRST, LATER], ids=["own", "others"])
def test_a_manager_is_one_manager_whenever_it_is_killed(faults: Sequence[str], tmp_path: Path) -> None:
    """At its first start, which makes the cluster key, its identity and the credentials on its host."""

    async def scenario() -> None:
        manager = ManagerProcess(tmp_path / "manager")
        try:
            for each in faults:
                start_with_faults(manager, each)
                await await_death(manager, each.partition("=")[0])
            manager.start()
            control = await manager.ready()
            await until_registered(1, control)
            (view,) = (await control.ListManagers(ListManagersRequest(), timeout=10)).managers
            identity = checked(manager.state / "identity")
            assert certificates.subject_of(identity.certificate).id == view.manager.id
            for name in ("admin", "engine", "console"):
                checked(manager.state / name)
            assert not [each for each in files(manager.state) if each.endswith(".new")]
        finally:
            manager.end()

    asyncio.run(scenario())


@pytest.mark.timeout(390)
def test_a_cluster_key_is_rotated(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_manager(tmp_path) as (manager, _):
            first = (manager.state / "cluster.key").read_bytes()
            manager.end()
            rotates = ("-m", "manager.main", "rotate-key", "--state-directory", str(manager.state))
            for fault in (f"{DRAFT}=kill@1", f"{PREVIOUS_KEY}=kill", f"{DRAFT}=kill@1"):
                await dies(rotates, fault)
                assert (manager.state / "cluster.key").read_bytes() == first
            await succeeds(rotates)
            assert (manager.state / "cluster.key").read_bytes() != first
            assert (manager.state / "cluster.key.old").read_bytes() == first
            assert not [each for each in files(manager.state) if each.endswith(".new")]
            manager.start()
            await manager.ready()

            async def done() -> bool:
                return "all data is encrypted with the new cluster key" in manager.log

            await until(done, "the data is encrypted anew")

    asyncio.run(scenario())
