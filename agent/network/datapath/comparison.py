"""Results of comparing the kernel's actual state with the desired one."""

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from agent.network.kernel_state import KernelState
from agent.network.netlink import rtnetlink_dump
from agent.network.netlink.connection import Connection
from shoal.errors import Unavailable

MAX_REFUSALS = 5
"""That are told by name; the rest of thousands would say the same."""


@dataclass
class Comparison:
    """One comparison, in a line each: what was found changed and is set right, and what the kernel refuses."""

    repaired: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def attempt(self, part: Callable[["Comparison"], None]) -> None:
        """Do a part of it. What that part cannot do is noted, and the other parts do not have to wait for it."""
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
        """These were found changed by someone else, and are set right."""
        with self._lock:
            self._repaired += lines

    def drain_repairs(self) -> Sequence[str]:
        """What was set right since the last call."""
        with self._lock:
            repaired, self._repaired = self._repaired, []
        return repaired

    def set_refusals(self, lines: Iterable[str], *, keep_earlier: bool = False) -> None:
        """The kernel refuses these now.

        Args:
            keep_earlier: and those of before; else nothing but these.
        """
        with self._lock:
            self._refused = frozenset(lines) | (self._refused if keep_earlier else frozenset())

    def refusals(self) -> list[str]:
        """A line each, always in the same order, at most some; those of the rest are like them."""
        with self._lock:
            ordered = sorted(self._refused)
        more = ["more network errors are not shown; see the agent's log"]
        return ordered[:MAX_REFUSALS] + (more if len(ordered) > MAX_REFUSALS else [])


def retried_refusal(refusal: str) -> str:
    """What the kernel refused, as a problem of the node."""
    return f"the kernel refuses to {refusal}; the agent keeps retrying"


def actual_state(connection: Connection, overlay: int, links: Collection[int]) -> KernelState:
    """What the kernel's tables hold of ours.

    Args:
        overlay: index of the VXLAN device. links: indexes of the tasks' links.
    """
    ours = {overlay, *links}
    return KernelState(
        routes=frozenset(rtnetlink_dump.own_routes(connection)),
        neighbours=frozenset(entry for entry in rtnetlink_dump.neighbours(connection) if entry.link in ours),
        fdb=frozenset(rtnetlink_dump.fdb_entries(connection, overlay)),
        rules=frozenset(rtnetlink_dump.own_rules(connection)),
    )
