"""Before its stop signal: no client is led to a task any more, and those that were have their answers.

Nothing of it is kept: after a restart of the agent it begins again. Each wait is bounded, so that neither a node that
does not answer nor a connection that nobody closes keeps a task from ending.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path

from agent.worker.seams import Exit, Running
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.task_group import TaskGroup

WITHDRAWAL_SECONDS = 5.0
"""Longest wait for the managers' word that every node has withdrawn the task."""
QUIET_SECONDS = 1.0
"""Longest wait, after that, for the connections that clients have open to end."""
POLL_SECONDS = 0.02

_LISTEN, _OPEN = "0A", frozenset({"01", "03"})
"""States in /proc/net/tcp (proc_net_tcp, include/net/tcp_states.h): LISTEN; ESTABLISHED and SYN_RECV."""


class Drain:
    """One task's.

    Args:
        connections: how many connections clients have open to the task of a process id.
    """

    def __init__(self, connections: Callable[[int], int]) -> None:
        self._connections = connections
        self._done = False

    def is_due(self, task: Task, state: int) -> bool:
        """Whether clients may still be led to it: it served, and others know an address of it."""
        return not self._done and state == TaskState.RUNNING and len(task.addresses) > 0

    async def run(
        self, wake: asyncio.Event, pid: int, task: Callable[[], Task], found: Callable[[], Running | Exit | None]
    ) -> None:
        """Wait until every node has withdrawn it and its clients are gone, or until it has ended.

        Args:
            wake: set whenever one of the following two may have changed.
            task: as the managers want it now.
            found: what the host has of it.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(WITHDRAWAL_SECONDS):
                while not task().drained and isinstance(found(), Running):
                    await wake.wait()
                    wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(QUIET_SECONDS):
                while isinstance(found(), Running) and self._connections(pid):  # noqa: ASYNC110  (nothing tells of it)
                    await asyncio.sleep(POLL_SECONDS)
        self._done = True


async def either(work: Coroutine[None, None, None], watch: Coroutine[None, None, None]) -> None:
    """Run both until the first has come to its end, and give the other up."""
    async with TaskGroup() as group:
        tasks = [group.create_task(work), group.create_task(watch)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


def client_connections(pid: int) -> int:
    """Open TCP connections of clients from elsewhere to ports that the process' network namespace listens on."""
    try:
        tables = [Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6")]
    except OSError:
        return 0  # it has ended, or the kernel has no IPv6
    return count_clients("".join(tables))


def count_clients(table: str) -> int:
    """The same from the text of /proc/net/tcp and tcp6."""
    entries = list(_entries(table))
    listening = {port for _, port, _, state in entries if state == _LISTEN}
    return sum(state in _OPEN and port in listening and not _is_loopback(remote) for _, port, remote, state in entries)


def _entries(table: str) -> Iterator[tuple[str, str, str, str]]:
    """Local address and port, remote address, state: in the kernel's own hexadecimal."""
    for line in table.splitlines():
        fields = line.split()
        if len(fields) > 3 and ":" in fields[1]:
            address, _, port = fields[1].partition(":")
            yield address, port, fields[2].partition(":")[0], fields[3]


def _is_loopback(address: str) -> bool:
    """Of 127.0.0.0/8, also mapped into IPv6, or ::1; words are in the host's byte order."""
    return address.endswith("7F") if len(address) == 8 or "FFFF0000" in address else address == f"{'0' * 24}01000000"
