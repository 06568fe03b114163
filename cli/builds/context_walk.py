"""What of a directory is a build's context: sorted, without what .dockerignore leaves out.

What is left out is not read, a directory that is left out whole not even listed.
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from shoal.dockerfile.ignore_patterns import PatternMatcher
from shoal.errors import Exhausted

MAX_ENTRIES = 5_000_000
MAX_DEPTH = 500

_WILDCARD = re.compile(r"[*?\[\\]")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class ContextFile:
    """One entry of a context.

    Attributes:
        name: relative to the context. path: on this machine.
        hard_link_to: the entry before it that is the same file; empty: none.
    """

    __slots__ = ("hard_link_to", "name", "path", "status")

    def __init__(self, path: str, name: str, status: os.stat_result, hard_link_to: str = "") -> None:
        self.path = path
        self.name = name
        self.status = status
        self.hard_link_to = hard_link_to

    @property
    def link_target(self) -> str:
        """Of a symbolic link, else empty. Raises OSError."""
        return str(Path(self.path).readlink()) if stat.S_ISLNK(self.status.st_mode) else ""

    def open(self) -> int:
        """A descriptor to read a file, the caller's. Raises OSError."""
        return os.open(self.path, _READ)


class ContextWalk:
    """The entries of one directory.

    Args:
        patterns: of .dockerignore, as `read_patterns` gives them.
    Raises:
        InvalidInput: a pattern is none.
    """

    def __init__(self, directory: Path, patterns: Sequence[str] = ()) -> None:
        self._directory = str(directory)
        self._excluded = PatternMatcher(patterns) if patterns else None
        self._exceptions = tuple(_fixed_part(each[1:]) for each in patterns if each.startswith("!"))
        self._links: dict[tuple[int, int], str] = {}
        self._left_out: set[str] = set()
        self._entries = 0

    def files(self) -> Iterator[ContextFile]:
        """Depth first, each directory before what is in it. Once.

        Raises:
            OSError: something cannot be read.
            Exhausted: a bound is reached.
        """
        pending = self._children("")
        while pending:
            name = pending.pop()
            path = f"{self._directory}/{name}"
            status = os.lstat(path)
            excluded = self._excluded is not None and self._excluded.excludes(name)
            if not excluded:
                yield from self._parents(name)
                yield from self._entry(path, name, status)
            if stat.S_ISDIR(status.st_mode) and not (excluded and self._is_skipped(name)):
                if excluded:
                    self._left_out.add(name)
                pending += self._children(name)

    def _parents(self, name: str) -> Iterator[ContextFile]:
        """Directories above, where they are left out but for what is in them."""
        while self._left_out and (above := name.rpartition("/")[0]) in self._left_out:
            missing = [above]
            while (above := above.rpartition("/")[0]) in self._left_out:
                missing.append(above)
            for each in reversed(missing):
                self._left_out.discard(each)
                yield from self._entry(f"{self._directory}/{each}", each, os.lstat(f"{self._directory}/{each}"))

    def _children(self, name: str) -> list[str]:
        """Paths in a directory, the first one last."""
        if name.count("/") >= MAX_DEPTH:
            raise Exhausted(f"the context has directories more than {MAX_DEPTH} deep")
        with os.scandir(f"{self._directory}/{name}") as found:
            names = sorted((each.name for each in found), reverse=True)
        return [f"{name}/{each}" if name else each for each in names]

    def _is_skipped(self, name: str) -> bool:
        """Whether nothing in a directory that is left out is taken back in."""
        return not any(f"{fixed}/".startswith(f"{name}/") or name.startswith(fixed) for fixed in self._exceptions)

    def _entry(self, path: str, name: str, status: os.stat_result) -> Iterator[ContextFile]:
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFSOCK:
            return
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise Exhausted(
                f"the context has more than {MAX_ENTRIES:,} files; leave some out with a .dockerignore file"
            )
        hard_link_to = ""
        if kind != stat.S_IFDIR and status.st_nlink > 1:
            hard_link_to = self._links.setdefault((status.st_dev, status.st_ino), name)
        yield ContextFile(path, name, status, "" if hard_link_to == name else hard_link_to)


def _fixed_part(pattern: str) -> str:
    """What of a pattern is the same in all paths that it matches."""
    match = _WILDCARD.search(pattern)
    return pattern if match is None else pattern[: match.start()]
