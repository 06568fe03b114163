"""What a check found, and which faults were active then. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ActiveFault:
    """A fault as it was injected.

    Attributes:
        name: kind, target (roles resolved) and value.
        begun, ended: seconds since the Unix epoch.
        unreachable: hosts that it keeps from a majority of managers, or may: their nodes may be given up.
        hurts_control: managers or etcd could not go on meanwhile.
    """

    name: str
    begun: float
    ended: float
    unreachable: frozenset[str] = frozenset()
    hurts_control: bool = False

    @property
    def kind(self) -> str:
        return self.name.partition(" ")[0]


@dataclass(frozen=True)
class Violation:
    """An invariant that did not hold.

    Attributes:
        invariant: its number in the README, 1 to 8.
        what: one line.
        at: seconds since the Unix epoch; 0: at the end.
        faults: what was active then, or had ended shortly before.
    """

    invariant: int
    what: str
    at: float = 0.0
    faults: tuple[str, ...] = field(default=())


ATTRIBUTION_SECONDS = 15.0
"""For so long after its end a fault is named beside what is found."""


def active_at(
    at: float, faults: Iterable[ActiveFault], *, aftermath: float = ATTRIBUTION_SECONDS, lasting: float = 0.0
) -> list[ActiveFault]:
    """Faults in progress at a moment, or ended shortly before it.

    Args:
        lasting: seconds of what began at that moment: faults that begin meanwhile are active too.
    """
    return [each for each in faults if each.begun <= at + lasting and at <= each.ended + aftermath]


def with_faults(found: Iterable[Violation], faults: Sequence[ActiveFault]) -> list[Violation]:
    """Each with the faults that were active."""
    return [
        Violation(each.invariant, each.what, each.at, tuple(fault.name for fault in active_at(each.at, faults)))
        for each in found
    ]
