"""What a fault excuses: hosts that it keeps from a majority of managers, and whether managers can go on. Pure."""

from collections.abc import Sequence

from tests.chaos.fault_kinds import AGENTS, MANAGERS, PlannedFault

_BAD_LINK = frozenset({"loss", "delay", "reorder", "rate", "cut-host"})
_OF_AGENT = frozenset({"pause-agent", "kill-agent", "crash-agent", "kill-both", "partition-agent-all"})
_HARMLESS = frozenset(
    {"etcd-compact", "kill-conmon", "hostile-agent", "partition-agent", "partition-flapping", "clock"}
)
"""For managers and etcd; whatever else hits an agent alone is harmless to them too."""


def unreachable_hosts(faults: Sequence[PlannedFault]) -> frozenset[str]:
    """Hosts that may be given up while these faults are active together. Roles are resolved.

    A node that a majority of managers reaches, directly and with its agent running, is none of them, whatever happens
    to managers and to etcd.
    """
    found = {each for fault in faults if fault.kind in _BAD_LINK | _OF_AGENT for each in _hosts(fault)}
    lost = {each for fault in faults if fault.kind in _MANAGER_LOST for each in _managers(fault)}
    for host in AGENTS:
        parted = {
            each
            for fault in faults
            if fault.kind in ("partition-agent", "partition-flapping") and host in _hosts(fault)
            for each in _managers(fault)
        }
        if parted and len(parted | lost) > len(MANAGERS) // 2:
            found.add(host)
    return frozenset(found)


_MANAGER_LOST = frozenset(
    {
        *_BAD_LINK,
        "pause-manager",
        "kill-manager",
        "kill-both",
        "crash-manager",
        "crash-elected",
        "crash-membership",
        "manager-replaced",
        "majority-lost",
        "quorum-lost",
        "herd",
        "partition-manager-all",
        "clock",
    }
)


def hurts_control(fault: PlannedFault) -> bool:
    """Whether writes may wait meanwhile."""
    if fault.kind in _HARMLESS:
        return False
    return not _hosts(fault) or bool(_managers(fault))


def is_disturbing(fault: PlannedFault) -> bool:
    """Whether clients of services may lose requests."""
    return bool(_hosts(fault)) or fault.kind == "kill-conmon"


def _hosts(fault: PlannedFault) -> list[str]:
    return [each for each in fault.target.split("/") if each in AGENTS]


def _managers(fault: PlannedFault) -> list[str]:
    return [each for each in fault.target.split("/") if each in MANAGERS]
