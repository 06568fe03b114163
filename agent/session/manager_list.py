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
    """Each node has an order of managers of its own, so that those of one that is lost spread over all others.

    What a manager tells replaces what was known: it tells of those that are away too. An empty list tells nothing.

    Args:
        path: JSON object: `managers`, a list of objects with `id` and `api_address`, and `join_address`.
        node_id: whose order it is.
        initial: what was told when the node joined.
        join_address: `host:port` where a manager lets nodes join, as told at this start; empty: as kept.
    """

    def __init__(
        self, path: Path, *, node_id: str, initial: Sequence[ManagerAddress] = (), join_address: str = ""
    ) -> None:
        self._path = path
        self._node_id = node_id
        kept = _load(path)
        self._managers = _managers(kept) | {each.id: each.api_address for each in initial}
        self.join_address = join_address or str(kept.get("join_address", ""))
        """Where to ask when no manager that is known answers; empty when nobody ever told."""
        self._failed: dict[str, int] = {}
        self._failures = count(1)
        self._preferred = ""
        self._saved = kept
        self._save()

    @property
    def addresses(self) -> tuple[str, ...]:
        """`host:port` of the managers' APIs, in the order in which to try them."""
        order = ranked_servers(self._node_id, self._managers)
        order.sort(key=lambda each: (each != self._preferred, self._failed.get(each, 0)))
        return tuple(dict.fromkeys(self._managers[each] for each in order))

    def first(self) -> str:
        """The one to try now.

        Raises:
            Unavailable: none is known.
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
        """A manager has answered."""
        self._failed.clear()

    @property
    def all_failed(self) -> bool:
        """Whether none that is known has answered since the last one did."""
        return self._failed.keys() >= self._managers.keys()

    def prefer(self, manager_id: str) -> None:
        """Try this one first, until it fails."""
        self._preferred = manager_id

    def update(self, managers: Iterable[ManagerAddress]) -> None:
        """Take over what a manager told."""
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


def _managers(kept: dict[str, Any]) -> dict[str, str]:
    entries = kept.get("managers", [])
    if not isinstance(entries, list):
        return {}
    return {
        str(each["id"]): str(each["api_address"])
        for each in entries
        if isinstance(each, dict) and each.get("id") and each.get("api_address")
    }
