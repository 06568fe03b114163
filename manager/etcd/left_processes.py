"""An etcd that a former process of this manager left, and the lock that tells it from another manager's."""

import fcntl
import logging
import os
import signal
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shoal.errors import Refused

_log = logging.getLogger(__name__)


def running_on(data: Path, proc: Path) -> Sequence[int]:
    """Process ids of etcds whose data directory this is."""
    argument = f"--data-dir={data}".encode()
    return [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit() and argument in _arguments(entry)]


def send_signal(pid: int, number: signal.Signals) -> None:
    """To a process that may have ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        _log.debug("process %d had ended already", pid)


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold a file's lock, which the kernel releases when this process ends."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Refused(
                f"another manager is using {path.parent}: stop it, or use a different state directory"
            ) from error
        yield


def _arguments(process: Path) -> Sequence[bytes]:
    try:
        return (process / "cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return ()  # It has exited.
