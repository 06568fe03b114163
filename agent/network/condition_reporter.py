"""The node's condition, reported to managers: problems, repairs, listening ports of the host."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import suppress

from shoal.api.v1.node_pb2 import HostListener, NetworkCondition, NetworkRepair, PathFault
from shoal.notifier import Notifier

MAX_PROBLEMS = 20
MAX_LISTENERS = 256
REPAIR_INTERVAL_SECONDS = 60.0
"""Between two reported repairs: a program that undoes our work repeatedly is reported once a minute."""


class ConditionReporter:
    """Collects the parts; every reader gets the whole condition after each change. For the event loop.

    Args:
        now_ms: milliseconds since the Unix epoch.
    """

    def __init__(self, *, now_ms: Callable[[], int], repair_interval_seconds: float = REPAIR_INTERVAL_SECONDS) -> None:
        self._now_ms = now_ms
        self._repair_interval_seconds = repair_interval_seconds
        self._current = NetworkCondition()
        self._network = NetworkCondition()
        self._disks: dict[str, str] = {}
        self._paths: Sequence[PathFault] = ()
        self._notifier = Notifier()

    @property
    def current(self) -> NetworkCondition:
        """The current condition; callers must not modify it."""
        return self._current

    def record_repair(self, repairs: Sequence[str]) -> None:
        """Record entries that another program had changed, and that were repaired."""
        if repairs:
            more = f" (and {len(repairs) - 1} more)" if len(repairs) > 1 else ""
            count = self._current.repaired.count + 1
            repair = NetworkRepair(description=f"{repairs[0]}{more}", count=count, at_ms=self._now_ms())
            self._merge(NetworkCondition(repaired=repair))

    def set_disk_problem(self, problem: str, *, disk: str = "journal") -> None:
        """Set the current problem of a disk; empty when there is none."""
        self._disks[disk] = problem
        self._rebuild()

    def set_network(
        self,
        *,
        problems: Iterable[str],
        listeners: Iterable[HostListener],
        underlay_mtu: int,
        host_prefixes: Iterable[str] = (),
    ) -> None:
        """Set the current state of the network."""
        self._network = NetworkCondition(
            problems=problems,
            listeners=list(listeners)[:MAX_LISTENERS],
            underlay_mtu=underlay_mtu,
            host_prefixes=host_prefixes,
        )
        self._rebuild()

    def set_path_faults(self, faults: Sequence[PathFault]) -> None:
        """Set the faulty paths to other nodes, in place of the previous ones."""
        self._paths = faults
        self._rebuild()

    def _rebuild(self) -> None:
        new = NetworkCondition()
        new.CopyFrom(self._network)
        new.problems[:] = [*filter(None, self._disks.values()), *self._network.problems][:MAX_PROBLEMS]
        new.paths.extend(self._paths)
        if self._current.HasField("repaired"):
            new.repaired.CopyFrom(self._current.repaired)
        if new != self._current:
            self._current = new
            self._notifier.notify()

    def _merge(self, part: NetworkCondition) -> None:
        new = NetworkCondition()
        new.CopyFrom(self._current)
        new.MergeFrom(part)
        self._current = new
        self._notifier.notify()

    async def reports(self) -> AsyncGenerator[NetworkCondition]:
        """The condition now and after each change; changes of the repair alone at most once per interval."""
        loop = asyncio.get_running_loop()
        reported: NetworkCondition | None = None
        repair_reported_at = float("-inf")
        while True:
            changed, now = self._notifier.wakeup(), self._current
            due_at = repair_reported_at + self._repair_interval_seconds
            if reported is None or (
                now != reported and (not _differ_by_repair(reported, now) or loop.time() >= due_at)
            ):
                if now.HasField("repaired") and (reported is None or reported.repaired != now.repaired):
                    repair_reported_at = loop.time()
                reported = now
                yield now
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due_at if now != reported else None):
                    await changed.wait()


def _differ_by_repair(old: NetworkCondition, new: NetworkCondition) -> bool:
    """Whether the two differ by the repair only."""
    rest = NetworkCondition()
    rest.CopyFrom(new)
    rest.repaired.CopyFrom(old.repaired)
    if not old.HasField("repaired"):
        rest.ClearField("repaired")
    return rest == old
