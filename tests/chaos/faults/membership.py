"""Managers that are lost for good and made anew, also while one of them ends in the middle of it."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from cli.client import Client
from cli.playground import manager_servers
from shoal.api.v1.control_pb2 import RemoveManagerRequest
from shoal.errors import ShoalError
from tests.chaos.cluster.chaos_cluster import ChaosCluster
from tests.chaos.fault_kinds import JOINER_POINTS, MANAGERS, PlannedFault
from tests.chaos.faults.processes import crashed_once
from tests.chaos.polling import until

_ATTEMPTS_SECONDS = 60.0
_VOTES_SECONDS = 120.0


@contextmanager
def replaced(cluster: ChaosCluster, fault: PlannedFault) -> Iterator[None]:
    """A manager is lost with its disk; after the fault an operator removes it, and it joins anew, empty.

    With a point as its value, the joining manager ends there, or the leading one.
    """
    name, point = fault.target, fault.value
    others = [each for each in MANAGERS if each != name]
    with ExitStack() as stack:
        with cluster.expected_down(name):
            identifier = cluster.manager_id(name)
            cluster.kill(name)
            shutil.rmtree(cluster.state(name))
            yield
            if point and point not in JOINER_POINTS:
                stack.enter_context(crashed_once(cluster, others, point))
            with cluster.client() as client:
                until(lambda: _removed(client, identifier), _ATTEMPTS_SECONDS, 1.0)
                write_manager_token(cluster, client)
            if point in JOINER_POINTS:
                stack.enter_context(crashed_once(cluster, [name], point))
        until(lambda: all_vote(cluster), _VOTES_SECONDS, 1.0)


def write_manager_token(cluster: ChaosCluster, client: Client) -> None:
    """A token for one manager, where a manager that starts looks for it."""
    token = cluster.layout.state / "manager-token"
    until(lambda: _has_token(client, token), _ATTEMPTS_SECONDS, 1.0)


def all_vote(cluster: ChaosCluster) -> bool:
    """Whether all managers run and vote, as one of them knows it."""
    with suppress(ShoalError), cluster.client() as client:
        return manager_servers.voters(client) == len(MANAGERS)
    return False


def _removed(client: Client, identifier: str) -> bool:
    with suppress(ShoalError):
        client.call(client.control.RemoveManager, RemoveManagerRequest(manager=identifier, force=True))
        return True
    return False


def _has_token(client: Client, file: Path) -> bool:
    with suppress(ShoalError):
        manager_servers.write_token(client, file)
        return True
    return False
