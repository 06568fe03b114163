"""Refuses the certificates of managers that were removed from the cluster: they stay valid for up to 90 days."""

from collections.abc import Callable, Container
from dataclasses import dataclass

from shoal.errors import PermissionDenied
from shoal.identity.roles import Role
from shoal.rpc.caller import Caller


def none() -> Container[str]:
    """No manager."""
    return ()


@dataclass(frozen=True)
class RemovedManagers:
    """What a server knows of them.

    Attributes:
        ids: of those that were removed, read at each call.
        exempt: full names of methods that they may call, to be told that they were removed.
    """

    ids: Callable[[], Container[str]] = none
    exempt: frozenset[str] = frozenset()

    def check(self, caller: Caller, method: str) -> None:
        """Raises PermissionDenied: the caller is one of them."""
        subject = caller.subject
        if subject.role is Role.MANAGER and method not in self.exempt and subject.id in self.ids():
            raise PermissionDenied(f"manager {subject.id} was removed from the cluster; join it again")
