"""The storage behind the tests' driver: directories that every host reaches, with who has which attached.

    <pool>/volumes/<id>/data           what containers see
    <pool>/volumes/<id>/volume.json    name, size, access mode
    <pool>/volumes/<id>/nodes/<node>   attached there
    <pool>/calls.log                   "<node> <method> <what>", one call a line
    <pool>/secrets.json                what each call that takes secrets has to bring; absent: anything
    <pool>/faults.json                 by method: {"code", "message", "seconds", "times", "node"}

Several drivers work on one pool, each a process of its own, so everything is under a lock.
"""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Fault:
    """What a call is to suffer."""

    code: str
    message: str
    seconds: float


class Pool:
    """One pool, as one driver or the test sees it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "volumes").mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes it meanwhile."""
        with (self.directory / "lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def volume(self, volume_id: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads((self._place(volume_id) / "volume.json").read_text())
        except FileNotFoundError:
            return None
        return found

    def volumes(self) -> list[str]:
        return sorted(path.name for path in (self.directory / "volumes").iterdir())

    def make(self, volume_id: str, about: dict[str, Any]) -> None:
        place = self._place(volume_id)
        (place / "data").mkdir(parents=True)
        (place / "nodes").mkdir()
        (place / "volume.json").write_text(json.dumps(about))

    def delete(self, volume_id: str) -> None:
        shutil.rmtree(self._place(volume_id), ignore_errors=True)

    def data(self, volume_id: str) -> Path:
        return self._place(volume_id) / "data"

    def nodes(self, volume_id: str) -> list[str]:
        """Where it is attached."""
        return sorted(path.name for path in (self._place(volume_id) / "nodes").glob("*"))

    def attach(self, volume_id: str, node: str) -> None:
        (self._place(volume_id) / "nodes" / node).touch()

    def detach(self, volume_id: str, node: str) -> None:
        (self._place(volume_id) / "nodes" / node).unlink(missing_ok=True)

    def note(self, node: str, method: str, what: str) -> None:
        with (self.directory / "calls.log").open("a") as log:
            log.write(f"{node} {method} {what}\n")

    def calls(self) -> list[str]:
        try:
            return (self.directory / "calls.log").read_text().splitlines()
        except FileNotFoundError:
            return []

    def break_calls(self, **faults: dict[str, Any]) -> None:
        """From now on these methods suffer these faults; without any, none does."""
        with self.locked():
            (self.directory / "faults.json").write_text(json.dumps(faults))

    def want_secrets(self, secrets: dict[str, str] | None) -> None:
        """From now on calls have to bring these; None: anything goes."""
        with self.locked():
            (self.directory / "secrets.json").write_text(json.dumps(secrets))

    def required_secrets(self) -> dict[str, str] | None:
        try:
            found: dict[str, str] | None = json.loads((self.directory / "secrets.json").read_text())
        except FileNotFoundError:
            return None
        return found

    def next_fault(self, node: str, method: str) -> Fault | None:
        """Of a call that begins now."""
        path = self.directory / "faults.json"
        with self.locked():
            faults = json.loads(path.read_text()) if path.exists() else {}
            fault = faults.get(method)
            if fault is None or fault.get("node", node) != node or fault.get("times", 1) < 1:
                return None
            if "times" in fault:
                fault["times"] -= 1
                path.write_text(json.dumps(faults))
        return Fault(fault.get("code", ""), fault.get("message", "broken on purpose"), fault.get("seconds", 0.0))

    def _place(self, volume_id: str) -> Path:
        return self.directory / "volumes" / volume_id
