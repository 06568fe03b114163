"""The managers that this agent knows, on disk, and in which order to try them."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from shoal.errors import Unavailable
from shoal.identity.private_files import write_atomically

_log = logging.getLogger(__name__)


class ManagerList:
    """The last that answered comes first; one that fails goes to the end.

    Args:
        path: JSON list of `host:port`.
        initial: what to use when the file does not exist yet.
    """

    def __init__(self, path: Path, initial: Sequence[str]) -> None:
        self._path = path
        self._saved = _load(path)
        self._addresses = list(dict.fromkeys([*self._saved, *initial]))

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(self._addresses)

    def first(self) -> str:
        """The one to try now.

        Raises:
            Unavailable: none is known.
        """
        if not self._addresses:
            raise Unavailable(f"no manager is known: {self._path} is lost; run `shoal-agent reset` and join anew")
        return self._addresses[0]

    def failed(self, address: str) -> None:
        """Try the others before this one."""
        if address in self._addresses:
            self._addresses.remove(address)
            self._addresses.append(address)

    def learn(self, addresses: Sequence[str]) -> None:
        """Take over what a manager told; an empty list tells nothing."""
        told = list(dict.fromkeys(addresses))
        if not told:
            return
        self._addresses = told
        if sorted(told) == sorted(self._saved):
            return
        try:
            write_atomically(self._path, json.dumps(told).encode())
            self._saved = told
        except OSError as error:
            _log.error("the list of managers cannot be written to %s: %s", self._path, error.strerror)


def _load(path: Path) -> list[str]:
    try:
        told = json.loads(path.read_bytes())
    except FileNotFoundError:
        return []
    except ValueError:
        _log.warning("%s is damaged and not used", path)
        return []
    return [str(address) for address in told] if isinstance(told, list) else []
