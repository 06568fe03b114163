"""How far a run of the models has gone: steps and passes, and how often what the checks are about has come about."""

from collections import Counter

COUNTED: Counter[str] = Counter()
"""Of the whole process."""

REACHED = (
    *("writers", "homes", "homes changed", "tasks after a rollback", "changes based on a rollback"),
    *("canary passes", "slots kept from the canaries", "stable moves", "placement moves", "delays kept"),
    *("updates completed", "rollbacks completed", "tasks that counted", "slots that failed", "updates failed"),
    *("shared networks", "tasks stopped with their network"),
    *("waits", "waits converged", "waits halted", "waits given up", "tasks verified", "tasks verified by health"),
)
"""What the checks are about."""


def counted() -> str:
    """ "60 clusters, 2,460 steps, 1,320 passes" """
    return ", ".join(f"{COUNTED[what]:,} {what}" for what in ("clusters", "steps", "passes"))


def reached() -> str:
    """How often each of `REACHED` has come about; what a run does not reach it does not check."""
    return ", ".join(f"{COUNTED[what]:,} {what}" for what in REACHED)
