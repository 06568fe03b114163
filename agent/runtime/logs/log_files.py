"""The files of one log: how many of what size, and what they are called.

`log` is the one that conmon writes into. Before it would outgrow its size, conmon puts an empty one in its place (its
option --log-size-max), so that the bound holds at any speed and while no agent runs. What was there before is not lost
where it has a second name by then: `log-<number>`, which the agent gives to each file while it is the current one. A
number that is missing between two says that conmon was faster than the agent, and that lines are lost there.
"""

import os
from dataclasses import dataclass
from pathlib import Path

CURRENT = "log"
MIN_LOG_BYTES = 64 << 10
"""Of a whole log: a line has up to 8,238 bytes, and is in one file."""

_MIN_FILE_BYTES = 16 << 10
_MIN_FILES = 4


@dataclass(frozen=True)
class LogFileLimits:
    """What a log's files may take.

    Attributes:
        bytes: of one file.
        count: of files on the disk at any moment, also that in which conmon has gone on without the agent.
    """

    bytes: int
    count: int


def log_file_limits(max_bytes: int, max_files: int) -> LogFileLimits:
    """Two files for each that the user allows, which together take what those may take.

    More and smaller ones, since one is always about to be filled and one kept free for conmon: with three times 10 MiB
    allowed, 20 to 25 MiB are there to be read.
    """
    whole = max(max_bytes * max_files, MIN_LOG_BYTES)
    count = max(_MIN_FILES, min(2 * max_files, whole // _MIN_FILE_BYTES))
    return LogFileLimits(whole // count, count)


@dataclass(frozen=True)
class LogFile:
    """One file of a log.

    Attributes:
        number: they ascend by one with each file of conmon's, and none is given twice; negative where an earlier
            version of the agent named it.
    """

    number: int
    path: Path


def numbered_log_files(directory: Path) -> list[LogFile]:
    """The files that have names of their own, the oldest first."""
    found = []
    for entry in os.scandir(directory):
        number = _number(entry.name)
        if number is not None:
            found.append(LogFile(number, Path(entry.path)))
    return sorted(found, key=lambda piece: piece.number)


def readable_log_files(directory: Path, *, is_over: bool) -> list[LogFile]:
    """The same, and of a log that nobody writes any more also the last file where it got no second name.

    That of a log which is written gets it in a moment; until then it may go as it came.
    """
    found = numbered_log_files(directory)
    current = directory / CURRENT
    if not is_over or not current.exists() or (found and found[-1].path.samefile(current)):
        return found
    return [*found, LogFile(max(found[-1].number if found else 0, 0) + 1, current)]


def log_file_path(directory: Path, number: int) -> Path:
    """Where the file of this number is."""
    return directory / f"{CURRENT}-{number}"


def _number(name: str) -> int | None:
    """`log-7` is 7. `log.2`, which is older than `log.1`, is how earlier versions named them: -2."""
    kind, text = name[: len(CURRENT) + 1], name[len(CURRENT) + 1 :]
    if kind not in (f"{CURRENT}-", f"{CURRENT}.") or not (text.isascii() and text.isdigit()):
        return None
    return int(text) if kind.endswith("-") else -int(text)
