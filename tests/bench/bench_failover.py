"""How long planning stands still: run `python -m tests.bench.bench_failover [rounds] [--only NAME …]`.

A playground of three managers, each with an etcd of its own, and three hosts. In each round something is lost, a
service is scaled by a manager that is left, as an operator does, and that manager is asked until the new tasks are
planned; then all is restored. A round that starts while the one before has effects would measure both, so each waits
until all managers vote and run, and a little longer.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from cli.client import Client
from cli.playground import manager_servers
from cli.playground.layout import PlaygroundHost
from manager.etcd.members import own_member
from manager.etcd.server import EtcdServer
from manager.etcd.v3 import etcd_pb2 as rpc
from shoal.api.v1.control_pb2 import (
    GetClusterRequest,
    ListManagersRequest,
    ListNodesRequest,
    ListTasksRequest,
    ScaleServicesRequest,
)
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.task_pb2 import TaskState
from shoal.contexts.context_file import Context
from shoal.errors import ShoalError
from tests.bench.rig.bed import IMAGE, Bed, cluster
from tests.bench.rig.figures import Figure, p50, table

ROUNDS = 10
MANAGERS = 3
HOSTS = 3
SETTLE_SECONDS = 6.0
"""After all managers vote: etcd refuses changes of its members for 5 s after one returns, and leases are renewed."""
LIMIT_SECONDS = 60.0
POLL_SECONDS = 0.02
ANSWER_SECONDS = 3.0


@dataclass
class Managers:
    """The managers of a bed, by name: "manager", "m2", "m3"."""

    bed: Bed
    clients: dict[str, Client] = field(default_factory=dict)

    def __post_init__(self) -> None:
        layout = self.bed.playground.layout
        whole = self.bed.client().context
        addresses = {"manager": layout.api}
        addresses |= {each.name: manager_servers.manager_api(layout, each) for each in layout.other_managers()}
        for name, address in addresses.items():
            self.clients[name] = Client(Context(whole.name, (address,), whole.directory))
        self.names = {address: name for name, address in addresses.items()}

    def leader(self) -> str:
        """The name of the one that leads; empty: none does, or nobody answers."""
        for client in self.clients.values():
            with suppress(ShoalError):
                led_by = client.call(client.control.GetCluster, GetClusterRequest(), seconds=ANSWER_SECONDS).leader_id
                views = client.call(client.control.ListManagers, ListManagersRequest(), seconds=ANSWER_SECONDS).managers
                return next((self.names[v.manager.api_address] for v in views if v.manager.id == led_by), "")
        return ""

    def other(self, *lost: str) -> Client:
        """A client of one that is left."""
        return next(client for name, client in self.clients.items() if name not in lost)

    def settle(self) -> None:
        """Until all vote and answer, and one leads."""
        until(lambda: bool(self.leader()) and all(self._is_whole(each) for each in self.clients.values()))
        time.sleep(SETTLE_SECONDS)

    def _is_whole(self, client: Client) -> bool:
        with suppress(ShoalError):
            nodes = client.call(client.control.ListNodes, ListNodesRequest(), seconds=ANSWER_SECONDS).nodes
            ready = sum(each.status.state == NodeStatus.READY for each in nodes)
            return manager_servers.voters(client) == MANAGERS and ready == HOSTS
        return False

    def pid(self, name: str) -> int:
        return self.bed.playground.pid(name)

    def etcd_pid(self, name: str) -> int:
        """Of the etcd beside a manager."""
        return int(subprocess.check_output(["pgrep", "-P", str(self.pid(name)), "-x", "etcd"], text=True))

    def etcd_leader(self) -> str:
        """The name of the manager whose etcd leads."""
        return next(name for name in self.clients if asyncio.run(self._leads_etcd(name)))

    async def _leads_etcd(self, name: str) -> bool:
        async with own_member(EtcdServer(self._host(name).state).socket) as members:
            (member,) = members
            status = await member.maintenance.Status(rpc.StatusRequest(), timeout=ANSWER_SECONDS)
            return bool(status.leader == status.header.member_id)

    def _host(self, name: str) -> PlaygroundHost:
        layout = self.bed.playground.layout
        first = PlaygroundHost(
            "manager", "", "", layout.manager_address, layout.manager_state, layout.run, layout.state / "logs"
        )
        return next((each for each in layout.other_managers() if each.name == name), first)

    def start(self, name: str) -> None:
        """Again, after its end."""
        playground = self.bed.playground
        if name == "manager":
            playground.start_manager()
        else:
            playground.start_other_manager(self._host(name))


@dataclass
class Round:
    """What one loss has done.

    Attributes:
        seconds: until the next plan was committed.
        down: nodes that were given up meanwhile. replaced: tasks that ended though nothing was wrong with them.
    """

    seconds: float
    down: int
    replaced: int


Harm = Callable[[Managers], tuple[str, Callable[[], None]]]
"""Does the harm; returns the manager that is of no use then, and what undoes it."""


def killed_leader(managers: Managers) -> tuple[str, Callable[[], None]]:
    """SIGKILL of the leading manager; its etcd ends by itself."""
    name = managers.leader()
    os.kill(managers.pid(name), signal.SIGKILL)
    return name, lambda: managers.start(name)


def frozen_leader(managers: Managers) -> tuple[str, Callable[[], None]]:
    """SIGSTOP of the leading manager; its etcd goes on."""
    name = managers.leader()
    pid = managers.pid(name)
    os.kill(pid, signal.SIGSTOP)
    return name, lambda: os.kill(pid, signal.SIGCONT)


def orderly_hand_over(managers: Managers) -> tuple[str, Callable[[], None]]:
    """SIGTERM of the leading manager."""
    name = managers.leader()
    os.kill(managers.pid(name), signal.SIGTERM)
    return name, lambda: managers.start(name)


def frozen_etcd_leader(managers: Managers) -> tuple[str, Callable[[], None]]:
    """SIGSTOP of the etcd that leads, wherever the leading manager is."""
    name = managers.etcd_leader()
    pid = managers.etcd_pid(name)
    os.kill(pid, signal.SIGSTOP)
    return name, lambda: os.kill(pid, signal.SIGCONT)


HARMS: Mapping[str, tuple[Harm, float]] = {
    "killed-leader": (killed_leader, 3.0),
    "frozen-leader": (frozen_leader, 3.0),
    "hand-over": (orderly_hand_over, 0.3),
    "frozen-etcd-leader": (frozen_etcd_leader, 5.0),
}
"""By name, with the seconds that are to be reached."""
LOST_NODE = "lost-node"


def measure(rounds: int = ROUNDS, only: tuple[str, ...] = ()) -> list[Figure]:
    """The medians, and what went wrong in any round."""
    figures: list[Figure] = []
    with cluster(HOSTS, managers=MANAGERS) as bed:
        bed.shoal("service", "create", "--name", "web", "--replicas", "3", IMAGE)
        managers = Managers(bed)
        for name, (harm, target) in HARMS.items():
            if not only or name in only:
                found = [_one_round(managers, harm) for _ in range(rounds)]
                figures += _figures(name, found, target)
        if not only or LOST_NODE in only:
            figures += _lost_nodes(managers, rounds)
    return figures


def _figures(name: str, rounds: list[Round], target: float) -> list[Figure]:
    words = name.replace("-", " ")
    return [
        Figure(f"{words}: until the next plan is committed, p50", p50([each.seconds for each in rounds]), "s", target),
        Figure("  greatest", max(each.seconds for each in rounds), "s"),
        Figure("  healthy nodes given up", sum(each.down for each in rounds), "nodes", at_most=0),
        Figure("  tasks replaced", sum(each.replaced for each in rounds), "tasks", at_most=0),
    ]


def _one_round(managers: Managers, harm: Harm) -> Round:
    managers.settle()
    before = set(_tasks(managers.other()))
    replicas = 5 if len(before) == 3 else 3
    begin = time.perf_counter()
    lost, heal = harm(managers)
    client = managers.other(lost)
    _scale(client, replicas)
    down: set[str] = set()

    def planned() -> bool:
        down.update(_given_up(client))
        return len(_tasks(client)) == replicas

    until(planned)
    seconds = time.perf_counter() - begin
    end = time.monotonic() + SETTLE_SECONDS  # what comes late counts too
    while time.monotonic() < end:
        down.update(_given_up(client))
        time.sleep(POLL_SECONDS)
    kept = set(_tasks(client))
    heal()
    return Round(seconds, len(down), len(before - kept) if replicas > len(before) else len(kept - before))


def _scale(client: Client, replicas: int) -> None:
    """As often as it takes."""
    request = ScaleServicesRequest(targets=[ScaleServicesRequest.Target(service="web", replicas=replicas)])

    def done() -> bool:
        client.call(client.control.ScaleServices, request, seconds=ANSWER_SECONDS)
        return True

    until(done)


def _tasks(client: Client) -> dict[str, str]:
    """Nodes of tasks that are to run, by task."""
    request = ListTasksRequest(service="web")
    found = client.call(client.control.ListTasks, request, seconds=ANSWER_SECONDS).tasks
    return {each.task.id: each.task.node_id for each in found if each.task.desired_state <= TaskState.RUNNING}


def _given_up(client: Client) -> list[str]:
    with suppress(ShoalError):
        nodes = client.call(client.control.ListNodes, ListNodesRequest(), seconds=ANSWER_SECONDS).nodes
        return [each.node.meta.id for each in nodes if each.status.state == NodeStatus.DOWN]
    return []


def _lost_nodes(managers: Managers, rounds: int) -> list[Figure]:
    """A host's cable is drawn: until its node is DOWN, and until its tasks run elsewhere."""
    hosts = managers.bed.playground.layout.all_hosts()
    times = [_lost_node(managers, hosts[number % HOSTS]) for number in range(rounds)]
    seen, moved = ([each[index] for each in times] for index in (0, 1))
    return [
        Figure("lost node: until it is DOWN, p50", p50(seen), "s", 6.0),
        Figure("  greatest", max(seen), "s"),
        Figure("lost node: until its tasks run elsewhere, p50", p50(moved), "s", 8.0),
        Figure("  greatest", max(moved), "s"),
    ]


def _lost_node(managers: Managers, host: PlaygroundHost) -> tuple[float, float]:
    """Seconds until it is DOWN, and until its tasks run elsewhere."""
    managers.settle()
    client = managers.other()
    nodes = client.call(client.control.ListNodes, ListNodesRequest()).nodes
    node_id = next(each.node.meta.id for each in nodes if each.status.description.hostname == host.name)
    begin = time.perf_counter()
    with _unplugged(managers, host):
        until(lambda: node_id in _given_up(client))
        seen = time.perf_counter() - begin
        until(lambda: _runs_without(client, node_id))
        return seen, time.perf_counter() - begin


@contextmanager
def _unplugged(managers: Managers, host: PlaygroundHost) -> Iterator[None]:
    link = ["ip", "-n", managers.bed.playground.layout.lan, "link", "set", host.link]
    subprocess.run([*link, "down"], check=True)
    try:
        yield
    finally:
        subprocess.run([*link, "up"], check=True)


def _runs_without(client: Client, node_id: str) -> bool:
    found = client.call(client.control.ListTasks, ListTasksRequest(service="web"), seconds=ANSWER_SECONDS).tasks
    runs = [v for v in found if v.status.state == TaskState.RUNNING and v.task.desired_state <= TaskState.RUNNING]
    elsewhere = [v for v in found if v.task.desired_state <= TaskState.RUNNING and v.task.node_id != node_id]
    return len(runs) >= 3 and all(view.task.node_id != node_id for view in runs) and len(elsewhere) == len(runs)


def until(condition: Callable[[], bool]) -> None:
    """Poll; errors of Shoal count as not yet.

    Raises:
        TimeoutError: it does not come true.
    """
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        with suppress(ShoalError):
            if condition():
                return
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"not within {LIMIT_SECONDS:g} s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_failover", description=__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=ROUNDS)
    parser.add_argument("--only", nargs="+", default=(), choices=[*HARMS, LOST_NODE])
    arguments = parser.parse_args()
    print(table(measure(arguments.rounds, tuple(arguments.only))))


if __name__ == "__main__":
    main()
