"""Stores private ESP keys on a tmpfs: they survive the agent's restart, not a reboot. Blocking."""

import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from agent.network.encryption.security_associations import EspPeer, EspSecret, parse_esp_peer

log = logging.getLogger(__name__)


class EspKeyStore:
    """One file per key generation.

    Args:
        directory: on a tmpfs; created when needed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self) -> dict[int, EspSecret]:
        """All stored secrets, by generation. Unreadable files are ignored."""
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
        """Write a secret atomically.

        Raises:
            OSError: it could not be written, and must not be used.
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
        """Delete this generation, and all earlier ones that used the same device."""
        for file in self._directory.glob("*.json"):
            if not file.stem.isdecimal() or int(file.stem) % 2 == generation % 2:
                file.unlink(missing_ok=True)


def _texts(peers: Iterable[EspPeer]) -> list[str]:
    return sorted(map(str, peers))


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
