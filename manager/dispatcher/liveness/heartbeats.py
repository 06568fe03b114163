"""Tracks nodes' heartbeats and decides which nodes are lost. Pure: time is passed in.

Invariant: a node is given up only for silence that this manager listened to. Time in which the manager itself did not
run counts for nobody, and of nodes that fall silent together beyond `brake.most_at_once` none is given up.
"""

from collections import deque
from collections.abc import Collection, Set
from dataclasses import dataclass

from manager.dispatcher.liveness.disruption_limit import max_down_at_once

HEARTBEAT_SECONDS = 2.0
MISSED = 3
"""Heartbeats that a node may miss; with the third it is overdue."""

SUSPECT_MISSED = 2
"""Missed heartbeats with which a node counts as silent for the brake: of nodes that are lost at the same moment, all
have missed so many when the first of them has missed `MISSED`."""

OPEN_SESSION_FACTOR = 5
"""How much longer a node may be silent whose session is open. The transport notices within seconds that a host or a
process is gone; what is left is an agent that hangs, or a manager that is slow to read."""

GRACE_SECONDS = 1.0
"""Beside the missed heartbeats, for agents to find another manager after theirs, or the leader, was lost."""

NODES_PER_SECOND = 100
"""So many nodes come back in a second when all have to: sets the grace after a manager was started or lost."""

MAX_RECONNECT_SECONDS = 30.0


def grace_seconds(nodes: int) -> float:
    """The time that so many nodes need, beside the usual, to come back to managers."""
    return nodes / NODES_PER_SECOND


def reconnect_seconds(nodes: int) -> float:
    """The longest time between two attempts of an agent in a cluster of so many: half of the grace, so that one
    which misses the manager's start by a moment, or is sent away, still comes in time.
    """
    return min(grace_seconds(nodes) / 2, MAX_RECONNECT_SECONDS)


@dataclass(frozen=True)
class LivenessDecision:
    """What is to be written of nodes that are overdue.

    Attributes:
        down: nodes to give up.
        unknown: nodes that fell silent with too many others to be given up.
        silent: nodes that are silent now, or were given up just now.
    """

    down: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    silent: int = 0


class Liveness:
    """Watches the nodes that it was told of. Times are seconds of one monotonic clock.

    Args:
        heartbeat_seconds: between a node's heartbeats; `tick` is expected four times as often.
    """

    def __init__(self, heartbeat_seconds: float) -> None:
        self.period = heartbeat_seconds / 4
        self._heartbeat = heartbeat_seconds
        self._timeout = MISSED * heartbeat_seconds
        self._heard: dict[str, float] = {}
        self._open: set[str] = set()
        self._lost: deque[float] = deque()
        self._due: float | None = None
        self._limited_until = 0.0
        self._grace_until = 0.0
        self._lateness = 0.0

    def heard(self, node_id: str, now: float) -> None:
        """The node spoke; it is watched from now on. In a time of grace it counts as heard until the end of that."""
        self._heard[node_id] = max(now, self._grace_until)

    def expect(self, node_id: str, by: float) -> None:
        """A node that is watched was told to come by that time: until then it is not silent."""
        if node_id in self._heard:
            self._heard[node_id] = max(self._heard[node_id], by)

    def grant_grace(self, node_ids: Collection[str], now: float) -> None:
        """All of these nodes have to come back at once: they are watched, and nobody is silent for a while."""
        self._grace_until = max(self._grace_until, now + grace_seconds(len(node_ids)))
        for node_id in {*self._heard, *node_ids}:
            self._heard[node_id] = max(self._heard.get(node_id, now), self._grace_until)

    def opened(self, node_id: str) -> None:
        """The node's session is open: as long as it is, missed heartbeats alone say little."""
        self._open.add(node_id)

    def closed(self, node_id: str) -> None:
        """The node's session is at an end; it is watched on."""
        self._open.discard(node_id)

    def forget(self, node_id: str) -> None:
        """It is not ours to watch any more."""
        self._heard.pop(node_id, None)
        self._open.discard(node_id)

    def watched(self) -> Set[str]:
        """The nodes that are watched."""
        return self._heard.keys()

    def is_fresh(self, node_id: str, now: float) -> bool:
        """Whether it is watched, and has not missed its heartbeats."""
        return now - self._heard.get(node_id, float("-inf")) <= self._allowed(node_id)

    def tick(self, now: float) -> bool:
        """Note that a period is over. False when this manager was late itself: then nobody is to be judged.

        What it was late by is taken off every node's silence: nobody could be heard meanwhile. After a long time agents
        have given it up and connect anew, all at once: they have what so many need, as after a start.
        """
        late = now - self._due if self._due is not None else 0.0
        self._due = now + self.period
        self._lateness += max(0.0, late)
        if self._lateness > self._heartbeat / 20:  # a timer is never quite in time, and there may be thousands of nodes
            self._heard = {each: _credited(heard, self._lateness, now) for each, heard in self._heard.items()}
            self._lateness = 0.0
            if late > self._heartbeat:
                self.grant_grace(self._heard.keys(), now)
        return late <= self.period

    def restart_period(self, now: float) -> None:
        """The next tick is due a period from now: what came since the last one was no sleep."""
        self._due = now + self.period

    def evaluate(self, now: float, nodes: int, marked_down: Collection[str] = ()) -> LivenessDecision:
        """What to write of the nodes that are overdue, the longest silent first.

        The brake holds on for a while after it was needed: the last of many to come back are not lost either.

        Args:
            nodes: in the cluster.
            marked_down: those that an operator has declared lost; the brake does not hold for them.
        """
        while self._lost and now - self._lost[0] > self._timeout:
            self._lost.popleft()
        silence = {node_id: now - heard for node_id, heard in self._heard.items()}
        margin = (MISSED - SUSPECT_MISSED) * self._heartbeat
        silent = sum(quiet > self._allowed(node_id) - margin for node_id, quiet in silence.items()) + len(self._lost)
        overdue = sorted(
            (each for each in silence if silence[each] > self._allowed(each)), key=lambda each: -silence[each]
        )
        if silent > max_down_at_once(nodes):
            self._limited_until = now + self._timeout + grace_seconds(nodes)
        if now >= self._limited_until:
            return LivenessDecision(tuple(overdue), (), silent)
        down = tuple(each for each in overdue if each in marked_down)
        return LivenessDecision(down, tuple(each for each in overdue if each not in marked_down), silent)

    def marked_down(self, node_id: str, now: float) -> None:
        """The node was written DOWN: it is watched no more, and counts for the brake for a while."""
        self.forget(node_id)
        self._lost.append(now)

    def _allowed(self, node_id: str) -> float:
        return self._timeout * (OPEN_SESSION_FACTOR if node_id in self._open else 1)


def _credited(heard: float, late: float, now: float) -> float:
    """When a node was heard, moved by what the manager was late; not beyond now, unless it lay ahead already."""
    return heard + late if heard > now else min(now, heard + late)
