"""Names, number and size of one log's files. Pure, except for listing directories.

conmon writes into `log`. Before it exceeds its size, conmon replaces it with an empty file (its option --log-size-max),
so that the limit holds at any speed and while no agent runs. The old file is not lost if it has a second name by then:
`log-<number>`, which the agent gives to each file while it is the current one. A gap between two numbers means that
conmon was faster than the agent, and that lines are lost there.
"""

import os
from dataclasses import dataclass
from pathlib import Path

CURRENT = "log"
MIN_LOG_BYTES = 64 << 10
"""Minimum of a whole log: a line has up to 8,238 bytes, and is in one file."""

_MIN_FILE_BYTES = 16 << 10
_MIN_FILES = 4


@dataclass(frozen=True)
class LogFileLimits:
    """Limits of a log's files.

    Attributes:
        bytes: of one file.
        count: of files on disk at any moment, including a file that conmon has created without the agent.
    """

    bytes: int
    count: int


def log_file_limits(max_bytes: int, max_files: int) -> LogFileLimits:
    """Two files for each file that the user allows, with the same total size.

    They are more and smaller, since one is always being filled and one is reserved for conmon: with three times 10 MiB
    allowed, 20 to 25 MiB are readable.
    """
    whole = max(max_bytes * max_files, MIN_LOG_BYTES)
    count = max(_MIN_FILES, min(2 * max_files, whole // _MIN_FILE_BYTES))
    return LogFileLimits(whole // count, count)


@dataclass(frozen=True)
class LogFile:
    """One file of a log.

    Attributes:
        number: ascends by one with each file of conmon's, and is never reused; negative if an earlier version of the
            agent named it.
    """

    number: int
    path: Path


def numbered_log_files(directory: Path) -> list[LogFile]:
    """The files with numbers, the oldest first."""
    found = []
    for entry in os.scandir(directory):
        number = _number(entry.name)
        if number is not None:
            found.append(LogFile(number, Path(entry.path)))
    return sorted(found, key=lambda piece: piece.number)


def readable_log_files(directory: Path, *, is_over: bool) -> list[LogFile]:
    """As `numbered_log_files`; of a log that is not written any more, also the current file if it has no number.

    The current file of a log that is being written gets its number in a moment; until then it may disappear.
    """
    found = numbered_log_files(directory)
    current = directory / CURRENT
    if not is_over or not current.exists() or (found and found[-1].path.samefile(current)):
        return found
    return [*found, LogFile(max(found[-1].number if found else 0, 0) + 1, current)]


def log_file_path(directory: Path, number: int) -> Path:
    """Path of the file with this number."""
    return directory / f"{CURRENT}-{number}"


def _number(name: str) -> int | None:
    """`log-7` is 7. Earlier versions named files `log.2`, which is older than `log.1`: -2."""
    kind, text = name[: len(CURRENT) + 1], name[len(CURRENT) + 1 :]
    if kind not in (f"{CURRENT}-", f"{CURRENT}.") or not (text.isascii() and text.isdigit()):
        return None
    return int(text) if kind.endswith("-") else -int(text)
