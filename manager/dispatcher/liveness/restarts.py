"""Nodes whose agents have stopped in order and are expected back. Pure."""

from shoal.api.v1.node_pb2 import NodeStatus

RESTART_GRACE_SECONDS = 60.0
"""An upgrade of the agent's package takes a few seconds, on a slow host half a minute."""


def restart_message(grace_seconds: float) -> str:
    """Why a node is restarting: one line."""
    return f"its agent is restarting; its tasks are kept for up to {grace_seconds:g} s"


def remaining_seconds(status: NodeStatus, now_ms: int, grace_seconds: float) -> float:
    """How long a restarting node is not lost yet, at most the grace period; 0 if it is not restarting, or no longer.

    The deadline is by the clock of the manager that wrote it, which may differ.
    """
    if status.state != NodeStatus.UNKNOWN or not status.restart_deadline_ms:
        return 0.0
    return min(max(0.0, (status.restart_deadline_ms - now_ms) / 1000), grace_seconds)
