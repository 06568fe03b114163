"""How many managers may fail before the cluster accepts no changes. Pure."""

from dataclasses import dataclass

_ADD = "add another with `shoal cluster join-token --manager`"


@dataclass(frozen=True)
class Tolerance:
    """What the cluster stands now.

    Attributes:
        voters: members of etcd that vote.
        failures: managers that may fail at once from now on without stopping writes.
        warning: one line for an operator; empty: all is well.
    """

    voters: int
    failures: int
    warning: str = ""


def majority(voters: int) -> int:
    """How many of the voters have to agree."""
    return voters // 2 + 1


def tolerance(voters: int, running: int) -> Tolerance:
    """What `running` of so many voters tolerate.

    Args:
        running: of the voters; without an own etcd there are none, and nothing is said.
    """
    failures = max(0, running - majority(voters)) if voters else 0
    return Tolerance(voters, failures, _warning(voters, running, failures))


def removal_leaves_majority(voters: int, running_others: int) -> bool:
    """Whether the members that are left after one is removed can still decide.

    Args:
        voters: with the one to be removed.
        running_others: of the voters, without it.
    """
    return voters > 1 and running_others >= majority(voters - 1)


def _warning(voters: int, running: int, failures: int) -> str:
    down = voters - running
    if voters == 2:
        return f"2 managers tolerate 0 failures: if either one stops, the cluster accepts no changes; {_ADD}"
    if voters > 2 and failures == 0:
        return (
            f"{down} of {voters} managers {'is' if down == 1 else 'are'} down, and 0 more failures are tolerated: "
            "start them again, or remove them with `shoal manager rm` and join others"
        )
    if voters > 2 and voters % 2 == 0:
        return f"{voters} managers tolerate no more failures than {voters - 1}; {_ADD}"
    return ""
