"""Results of comparing the kernel's actual state with the desired one."""

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from agent.network.kernel_state import KernelState
from agent.network.netlink import rtnetlink_dump
from agent.network.netlink.connection import Connection
from shoal.errors import Unavailable

MAX_REFUSALS = 5
"""Refusals that are listed; further ones, which may be thousands, would look the same."""


@dataclass
class Comparison:
    """One comparison, one line each: what had changed and was repaired, and what the kernel refuses."""

    repaired: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def attempt(self, part: Callable[["Comparison"], None]) -> None:
        """Run one part. Its failure is recorded, and does not keep the other parts from running."""
        try:
            part(self)
        except (Unavailable, OSError) as error:
            self.refused.append(str(error))


class Findings:
    """Repairs and refusals, passed from the datapath's thread to the event loop. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._repaired: list[str] = []
        self._refused: frozenset[str] = frozenset()

    def add_repairs(self, lines: Iterable[str]) -> None:
        """Record entries that another program had changed, and that were repaired."""
        with self._lock:
            self._repaired += lines

    def drain_repairs(self) -> Sequence[str]:
        """The repairs since the last call."""
        with self._lock:
            repaired, self._repaired = self._repaired, []
        return repaired

    def set_refusals(self, lines: Iterable[str], *, keep_earlier: bool = False) -> None:
        """Record what the kernel refuses now.

        Args:
            keep_earlier: keep the earlier refusals too, instead of replacing them.
        """
        with self._lock:
            self._refused = frozenset(lines) | (self._refused if keep_earlier else frozenset())

    def refusals(self) -> list[str]:
        """One line each, sorted, at most `MAX_REFUSALS` and a line that there are more."""
        with self._lock:
            ordered = sorted(self._refused)
        more = ["more network errors are not shown; see the agent's log"]
        return ordered[:MAX_REFUSALS] + (more if len(ordered) > MAX_REFUSALS else [])


def retried_refusal(refusal: str) -> str:
    """A refusal as a problem of the node."""
    return f"the kernel refuses to {refusal}; the agent keeps retrying"


def actual_state(connection: Connection, overlay: int, links: Collection[int]) -> KernelState:
    """Our entries in the kernel's tables.

    Args:
        overlay: index of the VXLAN device.
        links: indexes of the tasks' links.
    """
    ours = {overlay, *links}
    return KernelState(
        routes=frozenset(rtnetlink_dump.own_routes(connection)),
        neighbours=frozenset(entry for entry in rtnetlink_dump.neighbours(connection) if entry.link in ours),
        fdb=frozenset(rtnetlink_dump.fdb_entries(connection, overlay)),
        rules=frozenset(rtnetlink_dump.own_rules(connection)),
    )
