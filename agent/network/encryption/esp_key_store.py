"""Where private keys of ESP lie: on a tmpfs that only root reads, so that a later process of the agent finds them and a
reboot forgets them. Blocking."""

import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from agent.network.encryption.security_associations import EspPeer, EspSecret, parse_esp_peer

log = logging.getLogger(__name__)


class EspKeyStore:
    """One file for each generation.

    Args:
        directory: on a tmpfs; made when it is needed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self) -> dict[int, EspSecret]:
        """All that are there, by generation. What cannot be read is as if it were not there."""
        found = {}
        for file in self._directory.glob("*.json"):
            try:
                secret = _parse_secret(json.loads(file.read_text()))
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.warning("Ignoring the unreadable key file %s: %s", file, error)
                continue
            found[secret.generation] = secret
        return found

    def write(self, secret: EspSecret) -> None:
        """Whole or not at all.

        Raises:
            OSError: it could not be written; nothing may be done by it then.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        record = {
            "generation": secret.generation,
            "private": secret.private.hex(),
            "used": _texts(secret.used),
            "retired": _texts(secret.retired),
        }
        new = self._directory / f"{secret.generation}.new"
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as out:
            json.dump(record, out)
        new.replace(self._directory / f"{secret.generation}.json")

    def delete(self, generation: int) -> None:
        """This one, and all that had its place before it."""
        for file in self._directory.glob("*.json"):
            if not file.stem.isdecimal() or int(file.stem) % 2 == generation % 2:
                file.unlink(missing_ok=True)


def _texts(others: Iterable[EspPeer]) -> list[str]:
    return sorted(map(str, others))


def _parse_secret(record: dict[str, object]) -> EspSecret:
    generation, private, used, retired = (record[name] for name in ("generation", "private", "used", "retired"))
    if not (isinstance(generation, int) and isinstance(private, str)):
        raise TypeError("no key")
    if not (isinstance(used, list) and isinstance(retired, list)):
        raise TypeError("no lists of nodes")
    return EspSecret(
        generation,
        bytes.fromhex(private),
        frozenset(map(parse_esp_peer, used)),
        frozenset(map(parse_esp_peer, retired)),
    )
