"""A datapath in memory."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from agent.assignments.cluster_diff import ClusterDiff
from agent.worker.interfaces import Sockets
from agent.worker.sandbox import NO_OPTIONS, ORDINARY, NetworkOptions, Sandbox
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment, Peer, TaskEndpoint
from shoal.api.v1.task_pb2 import Task, TaskLink
from shoal.errors import ShoalError

T = TypeVar("T")


class FakeNetworks:
    """Remembers what it was asked. Its descriptors are of /dev/null."""

    def __init__(self) -> None:
        self.attached: dict[str, Task] = {}
        self.internal_only: dict[str, bool] = {}
        self.resolvers: dict[str, list[str]] = {}
        self.options: dict[str, NetworkOptions] = {}
        self.changes = 0
        self.pool_addresses: dict[str, str] = {}
        self.cluster = ClusterDiff()
        self.applied: list[tuple[list[NetworkAssignment], list[TaskEndpoint], list[Peer]]] = []
        self.recovered: list[str] = []
        self.while_recovering: Callable[[], None] = lambda: None
        self.errors: dict[str, ShoalError] = {}
        self.apply_error: ShoalError | None = None
        self.open: Sockets = Sockets()
        self.withdrawn: list[str] = []
        self.dns_ttl_seconds = 5.0

    async def apply(self, change: ClusterDiff) -> None:
        """As `Networks.apply`."""
        if self.apply_error is not None:
            raise self.apply_error
        self.cluster = self.cluster.merge(change)
        networks, endpoints, peers = self.cluster.networks, self.cluster.endpoints, self.cluster.peers
        self.applied.append((_present(networks), _present(endpoints), _present(peers)))

    async def attach(self, task: Task, options: NetworkOptions = ORDINARY) -> Sandbox:
        """As `Networks.attach`."""
        if task.id in self.errors:
            raise self.errors[task.id]
        self.attached[task.id], self.internal_only[task.id] = task, options.internal_only
        self.options[task.id] = options
        self.resolvers[task.id] = list(options.resolvers)
        addresses = {address.network_id: address.address for address in task.addresses}
        return Sandbox(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), addresses, "10.255.0.1")

    async def change(self, task: Task, options: NetworkOptions, netns_fd: int) -> Sequence[str]:
        """As `Networks.change`."""
        assert os.fstat(netns_fd)
        if task.id in self.errors:
            raise self.errors[task.id]
        self.attached[task.id], self.options[task.id] = task, options
        self.changes += 1
        return [address.address for address in task.addresses]

    def task_link(self, task_id: str) -> TaskLink:
        """As `Networks.task_link`."""
        return TaskLink(mac_address="02:53:00:00:00:01") if task_id in self.attached else TaskLink()

    def pool_address(self, container_id: str) -> str:
        """As `Networks.pool_address`."""
        return self.pool_addresses.get(container_id, "")

    async def withdraw(self, task_id: str) -> None:
        """As `Networks.withdraw`."""
        self.withdrawn.append(task_id)

    async def detach(self, task_id: str) -> None:
        """As `Networks.detach`."""
        self.attached.pop(task_id, None)

    async def recover(self, live: Sequence[Task], options: Mapping[str, NetworkOptions] = NO_OPTIONS) -> None:
        """As `Networks.recover`."""
        self.while_recovering()
        self.options = dict(options)
        self.recovered = [task.id for task in live]
        self.attached = {task.id: task for task in live}

    async def sockets(self, pid: int) -> Sockets:
        """As `Networks.sockets`: the same of every container."""
        return self.open


def _present(records: Mapping[str, T | None]) -> list[T]:
    return [record for record in records.values() if record is not None]
