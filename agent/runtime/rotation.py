"""Rotating logs by size: rename the file, have conmon open a new one. One scan for all, no timer for each."""

import logging
from pathlib import Path

from agent.runtime.conmon import reopen_log
from agent.runtime.logs import log_files
from agent.runtime.places import Places, Record

_log = logging.getLogger(__name__)


def rotate_if_large(places: Places, record: Record) -> bool:
    """Rotate one container's log when it has reached its size; whether it did.

    No line is lost: conmon writes on into the renamed file until it opens the new one. A rotation that a crash cut
    short, renamed but not told to conmon, is finished.
    """
    directory = places.logs(record.task_id)
    current = directory / "log"
    try:
        if current.stat().st_size < record.log_bytes:
            return False
    except FileNotFoundError:
        return directory.is_dir() and reopen_log(places.bundle(record.task_id))
    _shift(directory, record.log_files)
    if not reopen_log(places.bundle(record.task_id)):
        _log.warning("task %s: conmon did not take the rotation of its log; is it gone?", record.task_id)
    return True


def _shift(directory: Path, keep: int) -> None:
    """`log` becomes `log.1`, that `log.2`, and so on; what is beyond `keep` files goes, the oldest first.

    Where only one file is kept, its predecessor stays until the next rotation: conmon still writes into it.
    """
    older = [path for path in log_files(directory) if path.name != "log"]
    for path in older:
        number = int(path.suffix[1:])
        if number + 1 >= max(2, keep):
            path.unlink()
        else:
            path.rename(directory / f"log.{number + 1}")
    (directory / "log").rename(directory / "log.1")
