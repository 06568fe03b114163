"""The kinds of faults: whom they may hit, with which values, and which of them stand alone. Pure."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

AGENTS = ("h1", "h2", "h3", "h4", "h5")
MANAGERS = ("m1", "m2", "m3")
JOINED_MANAGERS = ("m2", "m3")
"""Those that can be made anew; the first one has the address by which the others and the nodes join."""
LEADER = "leader"
"""The manager that leads when the fault begins."""
ETCD_LEADER = "etcd-leader"
"""The manager whose etcd leads when the fault begins."""
SIMULATED_AGENTS = "1000"
BEHIND = "behind"
"""The manager that is left has not got the last seconds."""
PAUSES = ("3", "8", "14")
"""Seconds."""

AGENT_POINTS = (
    "agent.task.accepted",
    "agent.task.made",
    "agent.task.started",
    "agent.start.overlay",
    "agent.start.create",
    "agent.start.start",
    "agent.attach.host-end",
    "agent.journal.written",
    "agent.stop.signalled",
    "agent.stop.released",
    "agent.stop.forgotten",
    "agent.remove.bundle",
    "agent.remove.cgroup",
    "agent.recover.journal",
    "agent.recover.links",
)
MANAGER_POINTS = (
    "manager.plan.decided",
    "manager.plan.committed",
    "manager.statuses.received",
    "manager.statuses.committed",
)
ELECTED_POINTS = ("manager.leadership.elected", "manager.leadership.caught-up")
MEMBERSHIP_POINTS = (
    "manager.membership.removed",
    "manager.membership.learner-added",
    "manager.membership.promoted",
)
JOINER_POINTS = (
    "manager.join.answered",
    "manager.join.key-saved",
    "manager.join.pending-saved",
    "manager.join.identity-saved",
    "manager.join.layout-saved",
)
"""Points at which a program can be ended (`shoal/fault_points`)."""

Choice = Callable[[random.Random], str]


@dataclass(frozen=True)
class PlannedFault:
    """One fault of a schedule.

    Attributes:
        kind: of `FAULT_KINDS`.
        target: a host, "h1", a manager, "m1" or by its role, or two of them with a "/"; empty: the cluster.
        value: as the kind says.
    """

    kind: str
    target: str = ""
    value: str = ""

    @property
    def is_pause(self) -> bool:
        return self.kind.startswith("pause-")

    def __str__(self) -> str:
        return " ".join(part for part in (self.kind, self.target, self.value) if part)


@dataclass(frozen=True)
class FaultKind:
    """How faults of a kind are chosen.

    Attributes:
        target, value: choose one.
        alone: no other fault at the same time.
        weight: how often, beside the others.
        seconds: how long it takes at least.
    """

    target: Choice
    value: Choice = lambda _: ""
    alone: bool = False
    weight: int = 2
    seconds: float = 5.0

    def make(self, name: str, rng: random.Random) -> PlannedFault:
        return PlannedFault(name, self.target(rng), self.value(rng))


def _one_of(*choices: str) -> Choice:
    return lambda rng: rng.choice(choices)


def _pair(first: tuple[str, ...], second: tuple[str, ...]) -> Choice:
    """Two different ones of them, as "h1/m2"."""

    def choose(rng: random.Random) -> str:
        one = rng.choice(first)
        return f"{one}/{rng.choice([each for each in second if each != one])}"

    return choose


def _two(names: tuple[str, ...]) -> Choice:
    """Two of them in their order, as "m1/m3"."""
    return lambda rng: "/".join(sorted(rng.sample(names, 2)))


_HOST = _one_of(*AGENTS)
_MANAGER = _one_of(*MANAGERS, LEADER)
_ETCD = _one_of(*MANAGERS, ETCD_LEADER)
_LINK = _one_of(*AGENTS, *JOINED_MANAGERS)
_DIRECTION = _one_of("both", "in", "out")

FAULT_KINDS: Mapping[str, FaultKind] = {
    # Bad links: percent, milliseconds, percent, kilobits a second.
    "loss": FaultKind(_LINK, _one_of("30")),
    "delay": FaultKind(_LINK, _one_of("500")),
    "reorder": FaultKind(_LINK, _one_of("25")),
    "rate": FaultKind(_LINK, _one_of("1000")),
    # Partitions; the direction is that of the first's packets: "in" loses what comes from the second.
    "partition-agent": FaultKind(_pair(AGENTS, MANAGERS), _DIRECTION),
    "partition-agent-all": FaultKind(_HOST, _DIRECTION),
    "partition-managers": FaultKind(_pair(MANAGERS, MANAGERS), _DIRECTION),
    "partition-manager-all": FaultKind(_one_of(*MANAGERS), _DIRECTION),
    "partition-flapping": FaultKind(_pair(AGENTS, MANAGERS)),
    "cut-host": FaultKind(_HOST),
    # Processes.
    "pause-manager": FaultKind(_MANAGER, _one_of(*PAUSES)),
    "pause-etcd": FaultKind(_ETCD, _one_of(*PAUSES)),
    "pause-agent": FaultKind(_HOST, _one_of(*PAUSES)),
    "kill-manager": FaultKind(_MANAGER, weight=3),
    "kill-etcd": FaultKind(_ETCD),
    "kill-agent": FaultKind(_HOST, weight=3),
    "kill-conmon": FaultKind(_HOST),
    "kill-both": FaultKind(_pair(AGENTS, MANAGERS)),
    "crash-agent": FaultKind(_HOST, _one_of(*AGENT_POINTS), weight=3),
    "crash-manager": FaultKind(_one_of(LEADER), _one_of(*MANAGER_POINTS)),
    "crash-elected": FaultKind(_one_of(LEADER), _one_of(*ELECTED_POINTS), alone=True, seconds=10.0),
    # etcd.
    "etcd-slow-disk": FaultKind(_one_of(*MANAGERS, "all"), _one_of("20", "60")),
    "etcd-no-space": FaultKind(_one_of("")),
    "etcd-compact": FaultKind(_one_of("")),
    "manager-replaced": FaultKind(_one_of(*JOINED_MANAGERS), alone=True, weight=1, seconds=20.0),
    "crash-membership": FaultKind(_one_of(*JOINED_MANAGERS), _one_of(*MEMBERSHIP_POINTS, *JOINER_POINTS), alone=True),
    "quorum-lost": FaultKind(_pair(MANAGERS, MANAGERS), alone=True, weight=1),
    "herd": FaultKind(_one_of(""), _one_of(SIMULATED_AGENTS), alone=True, weight=1),
    # Etcd goes back: two are lost for good and the third is recovered; all are lost, seconds after a backup.
    "majority-lost": FaultKind(_two(MANAGERS), _one_of("", BEHIND), alone=True, weight=1, seconds=8.0),
    "all-restored": FaultKind(_one_of(""), _one_of("5", "15"), alone=True, weight=1),
    # The rest.
    "clock": FaultKind(_MANAGER, _one_of("+3600", "-3600"), weight=1),
    "hostile-agent": FaultKind(_one_of(""), _one_of("flood", "claims")),
}
