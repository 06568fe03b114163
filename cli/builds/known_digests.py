"""Digests of files of a context, kept between builds so that what has not changed is not read.

A file is the same while its inode number, its size, its time and the time of its inode are: the kernel sets the last
one, and no program can set it back. What was changed less than two seconds before it was read is not remembered, since
clocks of file systems are coarse.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

_RECENT_NS = 2_000_000_000
_VERSION = 1
MAX_FILES = 64
"""Of contexts that are remembered; the one used last stays."""
Known = tuple[int, int, int, int, str]
"""Inode number, size, mtime and ctime in nanoseconds, digest in hexadecimal digits."""


class KnownDigests:
    """Of one context.

    Args:
        path: of its file; what is in it is only lost time.
    """

    def __init__(self, path: Path, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._path = path
        self._now_ns = now_ns
        self._before = _read(path)
        self._now: dict[str, Known] = {}

    def find(self, name: str, status: os.stat_result) -> bytes:
        """The digest of a file; empty: it has to be read."""
        found = self._before.get(name)
        if found is None or tuple(found[:4]) != _identity(status):
            return b""
        self._now[name] = found
        return bytes.fromhex(found[4])

    def add(self, name: str, status: os.stat_result, digest: bytes) -> None:
        """Remember a file that was read.

        Args:
            status: from before it was read.
        """
        if max(status.st_mtime_ns, status.st_ctime_ns) < self._now_ns() - _RECENT_NS:
            self._now[name] = (*_identity(status), digest.hex())

    def save(self) -> None:
        """Write the file; an error only costs time."""
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = self._path.with_name(f"{self._path.name}.{os.getpid()}")
            draft.write_text(json.dumps({"version": _VERSION, "files": self._now}), errors="surrogateescape")
            draft.replace(self._path)
            others = sorted(self._path.parent.iterdir(), key=lambda each: each.stat().st_mtime_ns)
            for each in others[:-MAX_FILES]:
                each.unlink()


def cache_directory(environment: Mapping[str, str]) -> Path:
    """What only costs time to lose: in $XDG_CACHE_HOME, else `~/.cache`."""
    home = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "/root")) / ".cache"
    return Path(home) / "shoal"


def known_digests(environment: Mapping[str, str], key: str) -> KnownDigests:
    """Those of a context."""
    return KnownDigests(cache_directory(environment) / "contexts" / hashlib.sha256(key.encode()).hexdigest())


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read(path: Path) -> dict[str, Known]:
    try:
        found = json.loads(path.read_text(errors="surrogateescape"))
        return dict(found["files"]) if found["version"] == _VERSION else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
