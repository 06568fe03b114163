"""A copy of the log of records in the run directory, on the tmpfs that lives as long as the containers do.

The log on disk alone counts. The copy is read where that has lost something: a file that was emptied, deleted or
damaged while the host runs would cost all containers that it tells of.
"""

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from agent.journal.frames import frame, frames, write_all

_OWNER = "copy/owner"
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
_REPLACE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_log = logging.getLogger(__name__)


class RecordCopy:
    """Blocking. Never fails: a copy that cannot be written is deleted, since an old one would be worse than none.

    Args:
        owner: id of the node; a copy of another one, whose state directory was deleted, is none.
    """

    def __init__(self, path: Path, owner: str) -> None:
        self._path = path
        self._owner = owner.encode()
        self._is_whole = False

    def load(self) -> dict[str, bytes]:
        """All records; empty where there is no copy."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            _log.warning("cannot read the journal's copy %s: %s", self._path, error.strerror)
            return {}
        found = {name: value for name, value, _ in frames(data)}
        if found.pop(_OWNER, None) != self._owner:
            return {}
        return {name: value for name, value in found.items() if value is not None}

    def replace(self, records: Mapping[str, bytes]) -> None:
        """These are all records now."""
        draft = self._path.with_name(self._path.name + ".new")
        data = b"".join(frame(name, value) for name, value in {_OWNER: self._owner, **records}.items())
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write(draft, _REPLACE, data)
            draft.replace(self._path)
            self._is_whole = True
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            self._give_up(error)

    def append(self, data: bytes) -> None:
        """These frames were written to the log."""
        if self._is_whole:
            try:
                _write(self._path, _APPEND, data)
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Until it is replaced again."""
        self._is_whole = False
        with suppress(OSError):
            self._path.unlink()
        _log.warning("cannot write the journal's copy %s: %s", self._path, error.strerror)


def _write(path: Path, flags: int, data: bytes) -> None:
    descriptor = os.open(path, flags, 0o600)
    try:
        write_all(descriptor, data)
    finally:
        os.close(descriptor)
