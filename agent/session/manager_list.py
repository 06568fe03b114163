"""Persistent list of known managers, and the order in which to try them."""

import json
import logging
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from shoal.api.v1.cluster_pb2 import ManagerAddress
from shoal.errors import Unavailable
from shoal.identity.private_files import write_atomically
from shoal.rendezvous import ranked_servers

_log = logging.getLogger(__name__)


class ManagerList:
    """Each node tries managers in its own order, so that the nodes of a lost manager spread over all others.

    A list from a manager replaces the known one: it includes unavailable managers. An empty list is ignored.

    Args:
        path: JSON object: `managers`, a list of objects with `id` and `api_address`, `join_address`, and `removed`, the
            ids of managers whose certificates are refused.
        node_id: the node that determines the order.
        initial: the managers known when the node joined.
        join_address: `host:port` of a manager's join endpoint, as given at this start; empty: as saved.
    """

    def __init__(
        self, path: Path, *, node_id: str, initial: Sequence[ManagerAddress] = (), join_address: str = ""
    ) -> None:
        self._path = path
        self._node_id = node_id
        saved = _load(path)
        self.removed = _removed(saved)
        self._managers = _managers(saved) | {each.id: each.api_address for each in initial}
        self.join_address = join_address or str(saved.get("join_address", ""))
        """The last resort if no known manager responds; empty if unknown."""
        self._failed: dict[str, int] = {}
        self._failures = count(1)
        self._preferred = ""
        self._saved = saved
        self._save()

    @property
    def addresses(self) -> tuple[str, ...]:
        """`host:port` of the managers' APIs, in the order to try them."""
        order = ranked_servers(self._node_id, self._managers)
        order.sort(key=lambda each: (each != self._preferred, self._failed.get(each, 0)))
        return tuple(dict.fromkeys(self._managers[each] for each in order))

    def first(self) -> str:
        """The address to try first.

        Raises:
            Unavailable: no manager is known.
        """
        addresses = self.addresses
        if not addresses:
            raise Unavailable(f"no manager is known: {self._path} is missing; run `shoal-agent reset` and join again")
        return addresses[0]

    def mark_failed(self, address: str) -> None:
        """Try the others before this one."""
        for identifier in self._at(address):
            self._failed[identifier] = next(self._failures)
            if identifier == self._preferred:
                self._preferred = ""

    def mark_reachable(self) -> None:
        """A manager has responded."""
        self._failed.clear()

    @property
    def all_failed(self) -> bool:
        """Whether all known managers have failed since the last response."""
        return self._failed.keys() >= self._managers.keys()

    def prefer(self, manager_id: str) -> None:
        """Try this one first, until it fails."""
        self._preferred = manager_id

    def update(self, managers: Iterable[ManagerAddress], removed: Iterable[str] = ()) -> None:
        """Replace the known managers by a manager's list, and add to those that were removed."""
        if not self.removed >= (found := frozenset(removed)):
            self.removed |= found
            self._save()
        known = {each.id: each.api_address for each in managers if each.id and each.api_address}
        if known and known != self._managers:
            self._managers = known
            self._failed = {each: turn for each, turn in self._failed.items() if each in known}
            self._save()

    def _at(self, address: str) -> list[str]:
        return [identifier for identifier, each in self._managers.items() if each == address]

    def _save(self) -> None:
        managers = [{"id": each, "api_address": address} for each, address in sorted(self._managers.items())]
        content: dict[str, Any] = {"managers": managers, "join_address": self.join_address}
        if self.removed:
            content["removed"] = sorted(self.removed)
        if not managers or content == self._saved:
            return
        try:
            write_atomically(self._path, json.dumps(content).encode())
            self._saved = content
        except OSError as error:
            _log.error("could not write the manager list to %s: %s", self._path, error.strerror)


def _load(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        _log.warning("ignoring corrupt file %s", path)
        return {}
    return found if isinstance(found, dict) else {}


def _removed(saved: dict[str, Any]) -> frozenset[str]:
    entries = saved.get("removed", [])
    return frozenset(str(each) for each in entries) if isinstance(entries, list) else frozenset()


def _managers(saved: dict[str, Any]) -> dict[str, str]:
    entries = saved.get("managers", [])
    if not isinstance(entries, list):
        return {}
    return {
        str(each["id"]): str(each["api_address"])
        for each in entries
        if isinstance(each, dict) and each.get("id") and each.get("api_address")
    }
