"""A directory as the tar archive that is a build's context: the same for the same files, in bounded memory.

Names are sorted, owners are root, times are whole seconds; extended attributes stay behind, as do sockets. What
.dockerignore leaves out is not read, a directory that is left out whole not even listed.
"""

import os
import re
import stat
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from shoal.dockerfile.ignore_patterns import PatternMatcher
from shoal.errors import Exhausted
from shoal.tar.tar_entries import CHUNK_BYTES, KINDS, entry_content, entry_header
from shoal.tar.tar_header import DIRECTORY, HARD_LINK, REGULAR, SYMLINK
from shoal.tar.ustar_header import ustar_header

MAX_ENTRIES = 5_000_000
MAX_DEPTH = 500

_FAST = (REGULAR, DIRECTORY, HARD_LINK, SYMLINK)
_WILDCARD = re.compile(r"[*?\[\\]")

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class ContextArchive:
    """The archive of one directory.

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

    def pieces(self) -> Iterator[bytes]:
        """The archive, in pieces of about `CHUNK_BYTES`.

        Raises:
            OSError: something cannot be read.
            Exhausted: a bound is reached.
        """
        buffer = bytearray()
        for piece in self._parts():
            buffer += piece
            if len(buffer) >= CHUNK_BYTES:
                yield bytes(buffer)
                buffer.clear()
        yield bytes(buffer + bytes(2 * tarfile.BLOCKSIZE))

    def _parts(self) -> Iterator[bytes]:
        """Depth first, each directory before what is in it."""
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

    def _parents(self, name: str) -> Iterator[bytes]:
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

    def _entry(self, path: str, name: str, status: os.stat_result) -> Iterator[bytes]:
        kind = stat.S_IFMT(status.st_mode)
        if kind not in KINDS:
            return
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise Exhausted(
                f"the context has more than {MAX_ENTRIES:,} files; leave some out with a .dockerignore file"
            )
        if kind == stat.S_IFDIR:
            yield _header(f"{name}/", status)
            return
        key = status.st_dev, status.st_ino
        if status.st_nlink > 1 and key in self._links:
            yield _header(name, status, hard_link_to=self._links[key])
            return
        if status.st_nlink > 1:
            self._links[key] = name
        if kind == stat.S_IFREG:
            yield from _content(path, name)
        else:
            yield _header(name, status, link_target=str(Path(path).readlink()) if kind == stat.S_IFLNK else "")


def _content(path: str, name: str) -> Iterator[bytes]:
    descriptor = os.open(path, _READ)
    try:
        status = os.fstat(descriptor)
        yield _header(name, status)
        yield from entry_content(descriptor, status.st_size)
    finally:
        os.close(descriptor)


def _header(name: str, status: os.stat_result, *, link_target: str = "", hard_link_to: str = "") -> bytes:
    kind = stat.S_IFMT(status.st_mode)
    flag = HARD_LINK if hard_link_to else KINDS[kind]
    if flag in _FAST:
        short = ustar_header(
            os.fsencode(name),
            flag,
            mode=stat.S_IMODE(status.st_mode),
            size=status.st_size if flag == REGULAR else 0,
            mtime=int(status.st_mtime),
            link=os.fsencode(hard_link_to or link_target),
        )
        if short is not None:
            return short
    return entry_header(name, _plain(status), link_target=link_target, hard_link_to=hard_link_to)


def _plain(status: os.stat_result) -> os.stat_result:
    """The same, of root and with whole seconds."""
    mode, inode, device, links, _, _, size, *_ = status
    seconds = int(status.st_mtime)
    known = {"st_mtime_ns": seconds * 1_000_000_000, "st_rdev": status.st_rdev}
    return os.stat_result((mode, inode, device, links, 0, 0, size, seconds, seconds, seconds), known)


def _fixed_part(pattern: str) -> str:
    """What of a pattern is the same in all paths that it matches."""
    match = _WILDCARD.search(pattern)
    return pattern if match is None else pattern[: match.start()]
