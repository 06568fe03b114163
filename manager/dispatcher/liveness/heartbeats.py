"""Tracks nodes' heartbeats and decides which nodes are lost. Pure: time is passed in.

Invariant: a node is marked down only for silence while this manager was listening. Time in which the manager itself did
not run is not counted, and when more nodes than `max_down_at_once` fall silent together, none is marked down.
"""

from collections import deque
from collections.abc import Collection, Set
from dataclasses import dataclass

from manager.dispatcher.liveness.disruption_limit import max_down_at_once

HEARTBEAT_SECONDS = 2.0
MISSED = 3
"""Heartbeats that a node may miss; with the third it is overdue."""

SUSPECT_MISSED = 2
"""Missed heartbeats with which a node counts as silent for the disruption limit: of nodes that are lost at the same
moment, all have missed so many when the first of them has missed `MISSED`."""

OPEN_SESSION_FACTOR = 5
"""How much longer a node with an open session may be silent. The transport detects within seconds that a host or a
process has died; otherwise the agent hangs, or the manager reads slowly."""

MAX_LIMITED_SECONDS = 60.0
"""So long after too many were silent the disruption limit may stay in force, while nodes return."""

GRACE_SECONDS = 1.0
"""In addition to the missed heartbeats, for agents to find another manager after theirs, or the leader, was lost."""

NODES_PER_SECOND = 100
"""So many nodes reconnect per second when all have to: sets the grace period after a manager was started or lost."""

MAX_RECONNECT_SECONDS = 30.0

SLACK_SECONDS = 0.05
"""From the end of a node's time to its evaluation: what has arrived is read first, and timers are not exact."""


def grace_seconds(nodes: int) -> float:
    """The additional time that so many nodes need to reconnect to managers."""
    return nodes / NODES_PER_SECOND


def reconnect_seconds(nodes: int) -> float:
    """The maximum time between two attempts of an agent in a cluster of so many: half of the grace period, so that one
    which just misses the manager's start, or is deferred, still reconnects in time.
    """
    return min(grace_seconds(nodes) / 2, MAX_RECONNECT_SECONDS)


@dataclass(frozen=True)
class LivenessDecision:
    """What to write about overdue nodes.

    Attributes:
        down: nodes to mark down.
        unknown: nodes that fell silent with too many others to be marked down.
        silent: number of nodes that are silent now, or were just marked down.
    """

    down: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    silent: int = 0


class Liveness:
    """Tracks the heartbeats of nodes. Times are seconds of one monotonic clock.

    Args:
        heartbeat_seconds: between a node's heartbeats; `tick` is expected four times as often, or after `delay`.
    """

    def __init__(self, heartbeat_seconds: float) -> None:
        self.period = heartbeat_seconds / 4
        self._heartbeat = heartbeat_seconds
        self._timeout = MISSED * heartbeat_seconds
        self._heard: dict[str, float] = {}
        self._open: set[str] = set()
        self._lost: deque[float] = deque()
        self._due: float | None = None
        self._next_overdue = float("inf")
        self._limited_until = 0.0
        self._limited_at = 0.0
        self._grace_until = 0.0
        self._lateness = 0.0

    def heard(self, node_id: str, now: float) -> None:
        """The node sent a message; it is monitored from now on. In a grace period it counts as heard until its end.

        While the disruption limit is in force and nodes return, others may be on their way, however long so many take.
        """
        if now < self._limited_until and now - self._heard.get(node_id, now) >= SUSPECT_MISSED * self._heartbeat:
            until = min(now + self._timeout, self._limited_at + MAX_LIMITED_SECONDS)
            self._limited_until = max(self._limited_until, until)
        self._heard[node_id] = max(now, self._grace_until)

    def expect(self, node_id: str, by: float) -> None:
        """A monitored node was asked to reconnect by that time: until then it is not silent."""
        if node_id in self._heard:
            self._heard[node_id] = max(self._heard[node_id], by)

    def expect_restart(self, node_id: str, by: float) -> None:
        """The agent of a monitored node has stopped in order: the node is overdue if it has not returned by then."""
        self.expect(node_id, by - self._timeout)

    def lost(self, node_id: str) -> None:
        """A monitored node said that its host stops: it is overdue from now on."""
        if node_id in self._heard:
            self._heard[node_id] = float("-inf")

    def grant_grace(self, node_ids: Collection[str], now: float) -> None:
        """All of these nodes have to reconnect at once: they are monitored, and no node is silent for a while."""
        self._grace_until = max(self._grace_until, now + grace_seconds(len(node_ids)))
        for node_id in {*self._heard, *node_ids}:
            self._heard[node_id] = max(self._heard.get(node_id, now), self._grace_until)

    def opened(self, node_id: str) -> None:
        """The node's session is open: until it closes, a longer silence is allowed."""
        self._open.add(node_id)

    def closed(self, node_id: str) -> None:
        """The node's session ended; it is still monitored."""
        self._open.discard(node_id)

    def is_open(self, node_id: str) -> bool:
        """Whether the node's session is open."""
        return node_id in self._open

    def forget(self, node_id: str) -> None:
        """Stop monitoring the node."""
        self._heard.pop(node_id, None)
        self._open.discard(node_id)

    def watched(self) -> Set[str]:
        """The monitored nodes."""
        return self._heard.keys()

    def is_fresh(self, node_id: str, now: float) -> bool:
        """Whether it is monitored and not overdue."""
        return now - self._heard.get(node_id, float("-inf")) <= self._allowed(node_id)

    def delay(self, now: float) -> float:
        """Seconds until the next tick: a period, or less if a silent node is overdue before."""
        seconds = min(self.period, max(0.0, self._next_overdue - now) + SLACK_SECONDS)
        self._due = now + seconds
        return seconds

    def tick(self, now: float) -> bool:
        """Call after each period, or after `delay`. False if this manager was late itself: then do not evaluate.

        The delay is subtracted from every node's silence: no node could be heard meanwhile. After a long delay agents
        reconnect, all at once: they get the same grace period as after a start.
        """
        late = now - self._due if self._due is not None else 0.0
        self._due, self._next_overdue = now + self.period, float("inf")
        self._lateness += max(0.0, late)
        if self._lateness > self._heartbeat / 20:  # timers are never exact, and there may be thousands of nodes
            self._heard = {each: _credited(heard, self._lateness, now) for each, heard in self._heard.items()}
            self._lateness = 0.0
            if late > self._heartbeat:
                self.grant_grace(self._heard.keys(), now)
        return late <= self.period

    def restart_period(self, now: float) -> None:
        """The next tick is due a period from now: the time since the last one was not a sleep."""
        self._due = now + self.period

    def evaluate(self, now: float, nodes: int, marked_down: Collection[str] = ()) -> LivenessDecision:
        """What to write about overdue nodes, the longest silent first.

        The disruption limit stays in force for a while, and while nodes return: the last of many to reconnect are not
        lost either.

        Args:
            nodes: in the cluster.
            marked_down: nodes that an operator has marked down: the limit does not apply to them, and they are overdue.
        """
        while self._lost and now - self._lost[0] > self._timeout:
            self._lost.popleft()
        left = {node_id: self._allowed(node_id) - (now - heard) for node_id, heard in self._heard.items()}
        self._next_overdue = now + min((seconds for seconds in left.values() if seconds >= 0.0), default=float("inf"))
        margin = (MISSED - SUSPECT_MISSED) * self._heartbeat
        silent = sum(seconds < margin for seconds in left.values()) + len(self._lost)
        found = (each for each, seconds in left.items() if seconds < 0.0 or each in marked_down)
        overdue = sorted(found, key=self._heard.__getitem__)
        if silent > max_down_at_once(nodes):
            self._limited_at = now
            self._limited_until = now + self._timeout + grace_seconds(nodes)
        if now >= self._limited_until:
            return LivenessDecision(tuple(overdue), (), silent)
        down = tuple(each for each in overdue if each in marked_down)
        return LivenessDecision(down, tuple(each for each in overdue if each not in marked_down), silent)

    def marked_down(self, node_id: str, now: float) -> None:
        """The node was marked DOWN: it is no longer monitored, and counts for the disruption limit for a while."""
        self.forget(node_id)
        self._lost.append(now)

    def _allowed(self, node_id: str) -> float:
        return self._timeout * (OPEN_SESSION_FACTOR if node_id in self._open else 1)


def _credited(heard: float, late: float, now: float) -> float:
    """When a node was heard, moved by the manager's delay; not beyond now, unless it was in the future already."""
    return heard + late if heard > now else min(now, heard + late)
