"""What a comparison of the kernel with what it should hold brings to light."""

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from agent.network.kernel_state import KernelState
from agent.network.netlink import inventory
from agent.network.netlink.connection import Connection
from shoal.errors import Unavailable

MOST_REFUSALS = 5
"""That are told by name; the rest of thousands would say the same."""


@dataclass
class Comparison:
    """One comparison, in a line each: what was found changed and is set right, and what the kernel refuses."""

    wrong: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def attempt(self, part: Callable[["Comparison"], None]) -> None:
        """Do a part of it. What that part cannot do is noted, and the other parts do not have to wait for it."""
        try:
            part(self)
        except (Unavailable, OSError) as error:
            self.refused.append(str(error))


class Findings:
    """What the datapath's thread finds, for the event loop. Safe from both."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._repaired: list[str] = []
        self._refused: frozenset[str] = frozenset()

    def repaired(self, lines: Iterable[str]) -> None:
        """These were found changed by someone else, and are set right."""
        with self._lock:
            self._repaired += lines

    def take_repaired(self) -> Sequence[str]:
        """What was set right since the last call."""
        with self._lock:
            taken, self._repaired = self._repaired, []
        return taken

    def refuses(self, lines: Iterable[str], *, besides: bool = False) -> None:
        """The kernel refuses these now.

        Args:
            besides: and those of before; else nothing but these.
        """
        with self._lock:
            self._refused = frozenset(lines) | (self._refused if besides else frozenset())

    def refusals(self) -> list[str]:
        """A line each, always in the same order, at most some; those of the rest are like them."""
        with self._lock:
            ordered = sorted(self._refused)
        more = ["the kernel refuses more of the node's network than is told here"]
        return ordered[:MOST_REFUSALS] + (more if len(ordered) > MOST_REFUSALS else [])


def asked_again(refusal: str) -> str:
    """What the kernel refused, as a problem of the node."""
    return f"the kernel refuses, and is asked again and again, to {refusal}"


def present_state(connection: Connection, overlay: int, links: Collection[int]) -> KernelState:
    """What the kernel's tables hold of ours.

    Args:
        overlay: index of the VXLAN device. links: indexes of the tasks' links.
    """
    ours = {overlay, *links}
    return KernelState(
        routes=frozenset(inventory.own_routes(connection)),
        neighbours=frozenset(entry for entry in inventory.neighbours(connection) if entry.link in ours),
        forwarding=frozenset(inventory.forwarding(connection, overlay)),
        rules=frozenset(inventory.own_rules(connection)),
    )
