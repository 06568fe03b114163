"""How the node is, for the managers: what does not work, what of its network was set right, who listens on the host."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import suppress

from shoal.api.v1.node_pb2 import HostListener, NetworkCondition, NetworkRepair, PathFault

MOST_PROBLEMS = 20
MOST_LISTENERS = 256
QUIET_SECONDS = 60.0
"""Between two repairs that are told: a program that undoes our work again and again is told of once a minute."""


class Condition:
    """Notes come from the event loop; any number of readers get the whole, whenever it changes.

    Args:
        now_ms: milliseconds since the Unix epoch.
    """

    def __init__(self, *, now_ms: Callable[[], int], quiet_seconds: float = QUIET_SECONDS) -> None:
        self._now_ms = now_ms
        self._quiet_seconds = quiet_seconds
        self._current = NetworkCondition()
        self._of_network = NetworkCondition()
        self._of_disks: dict[str, str] = {}
        self._paths: Sequence[PathFault] = ()
        self._changed = asyncio.Event()

    @property
    def current(self) -> NetworkCondition:
        """Not to be changed."""
        return self._current

    def note_repair(self, wrong: Sequence[str]) -> None:
        """These were found changed by someone else, and are set right."""
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            count = self._current.repaired.count + 1
            repair = NetworkRepair(what=f"{wrong[0]}{more}", count=count, at_ms=self._now_ms())
            self._change(NetworkCondition(repaired=repair))

    def note_disk(self, problem: str, *, of: str = "journal") -> None:
        """What is wrong now with the disk of something; empty when nothing is."""
        self._of_disks[of] = problem
        self._take()

    def note(
        self,
        *,
        problems: Iterable[str],
        listeners: Iterable[HostListener],
        underlay_mtu: int,
        host_prefixes: Iterable[str] = (),
    ) -> None:
        """How the network is now."""
        self._of_network = NetworkCondition(
            problems=problems,
            listeners=list(listeners)[:MOST_LISTENERS],
            underlay_mtu=underlay_mtu,
            host_prefixes=host_prefixes,
        )
        self._take()

    def note_paths(self, faults: Sequence[PathFault]) -> None:
        """These paths to other nodes are bad now, no others."""
        self._paths = faults
        self._take()

    def _take(self) -> None:
        new = NetworkCondition()
        new.CopyFrom(self._of_network)
        new.problems[:] = [*filter(None, self._of_disks.values()), *self._of_network.problems][:MOST_PROBLEMS]
        new.paths.extend(self._paths)
        if self._current.HasField("repaired"):
            new.repaired.CopyFrom(self._current.repaired)
        if new != self._current:
            self._current = new
            self._wake()

    def _change(self, part: NetworkCondition) -> None:
        new = NetworkCondition()
        new.CopyFrom(self._current)
        new.MergeFrom(part)
        self._current = new
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def reports(self) -> AsyncGenerator[NetworkCondition]:
        """How it is, and again after each change; repairs alone at most once in a quiet time."""
        loop = asyncio.get_running_loop()
        told: NetworkCondition | None = None
        repair_told_at = float("-inf")
        while True:
            changed, now = self._changed, self._current
            due_at = repair_told_at + self._quiet_seconds
            if told is None or (now != told and (not _differ_by_repair(told, now) or loop.time() >= due_at)):
                if now.HasField("repaired") and (told is None or told.repaired != now.repaired):
                    repair_told_at = loop.time()
                told = now
                yield now
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due_at if now != told else None):
                    await changed.wait()


def _differ_by_repair(old: NetworkCondition, new: NetworkCondition) -> bool:
    """Whether nothing else differs."""
    rest = NetworkCondition()
    rest.CopyFrom(new)
    rest.repaired.CopyFrom(old.repaired)
    if not old.HasField("repaired"):
        rest.ClearField("repaired")
    return rest == old
