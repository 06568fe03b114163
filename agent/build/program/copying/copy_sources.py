"""Finds what COPY and ADD copy: paths with wildcards in a source, and all that is below them."""

import os
import posixpath
import stat
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from agent.safe_paths.system_calls import open_in_root
from shoal.dockerfile.ignore_patterns import PatternMatcher
from shoal.errors import Exhausted, InvalidInput, NotFound

MAX_SOURCES = 100_000
"""Of one wildcard."""
_WILDCARDS = "*?["
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True)
class CopySource:
    """One thing that is copied.

    Attributes:
        path: in its source, relative, its links resolved by whoever opens it.
        name: under which it is placed in a directory; with `--parents` a path.
    """

    path: str
    name: str


def find_sources(root: int, paths: Sequence[str], *, parents: bool) -> list[CopySource]:
    """What paths mean, in their order; those of a wildcard sorted.

    Args:
        root: descriptor of the source; links are resolved in it.
        parents: names are the whole paths below a `/./`, else below the source.
    Raises:
        NotFound: a path is not there. InvalidInput: a pattern is none. Exhausted: too many.
    """
    found: list[CopySource] = []
    for written in paths:
        pivot, path = _split(written)
        matched = sorted(_expand(root, path)) if _has_wildcard(path) else [path]
        if not matched:
            raise NotFound(f'no source files were found: "{written[:200]}"')
        for each in matched:
            require(root, each)
            found.append(CopySource(each, _name(each, pivot) if parents else posixpath.basename(each)))
    return found


def require(root: int, path: str) -> os.stat_result:
    """The status of a path with its links resolved. Raises NotFound, in Docker's words."""
    try:
        descriptor = open_in_root(root, path or ".", os.O_PATH)
    except OSError as error:
        raise NotFound(f'"/{path[:200]}": {_reason(error)}') from error
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    return "not found" if isinstance(error, FileNotFoundError) else str(error.strerror)


def _split(written: str) -> tuple[str, str]:
    """The part before `/./`, and the clean path; `..` cannot lead out of the source."""
    before, pivot, _ = written.partition("/./")
    return _clean(before) if pivot else "", _clean(written)


def _clean(path: str) -> str:
    return posixpath.normpath(f"/{path}").lstrip("/")


def _name(path: str, pivot: str) -> str:
    return path.removeprefix(f"{pivot}/") if pivot else path


def _has_wildcard(path: str) -> bool:
    return any(each in path for each in _WILDCARDS)


def _expand(root: int, pattern: str) -> Iterator[str]:
    """Paths that match: each component by itself, as Go's filepath.Match; `**` any number of directories."""
    places = [""]
    for part in pattern.split("/"):
        following: list[str] = []
        for place in places:
            following.extend(_matching(root, place, part))
            if len(following) > MAX_SOURCES:
                raise Exhausted(f"the pattern {pattern[:80]!r} matches more than {MAX_SOURCES:,} paths")
        places = following
    return iter(dict.fromkeys(places))


def _matching(root: int, place: str, part: str) -> Iterator[str]:
    if part == "**":
        yield place
        yield from _below(root, place)
    elif not _has_wildcard(part):
        path = posixpath.join(place, part.replace("\\", ""))
        if _is_there(root, path):
            yield path
    else:
        matcher = PatternMatcher((f"\\{part}" if part.startswith("!") else part,))
        yield from (posixpath.join(place, name) for name, _ in _entries(root, place) if matcher.excludes(name))


def _below(root: int, place: str) -> Iterator[str]:
    waiting = [place]
    while waiting:
        for name, is_directory in _entries(root, at := waiting.pop()):
            if is_directory:
                path = posixpath.join(at, name)
                yield path
                waiting.append(path)


def _is_there(root: int, path: str) -> bool:
    try:
        os.close(open_in_root(root, path, os.O_PATH | os.O_NOFOLLOW))
    except OSError:
        return False
    return True


def _entries(root: int, place: str) -> list[tuple[str, bool]]:
    """Names in a directory, and whether they are directories themselves; none of what is no directory."""
    try:
        descriptor = open_in_root(root, place or ".", _DIRECTORY)
    except OSError:
        return []
    try:
        with os.scandir(descriptor) as entries:
            return sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    finally:
        os.close(descriptor)


class Found:
    """A file that was found on a walk, opened only where that is asked for.

    Attributes:
        path: relative to the top; "" is the top itself.
        status: of the file itself, also of a symbolic link.
    """

    __slots__ = ("_directory", "_name", "path", "status")

    def __init__(self, directory: int, name: str, path: str, status: os.stat_result) -> None:
        self._directory = directory
        self._name = name
        self.path = path
        self.status = status

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    def open(self, flags: int = 0) -> int:
        """A descriptor to read it, the caller's; until the next step of the walk. Raises OSError."""
        if not self._name:
            return os.open(f"/proc/self/fd/{self._directory}", os.O_RDONLY | os.O_CLOEXEC | flags)
        return os.open(self._name, _READ | flags, dir_fd=self._directory)

    def link_target(self) -> str:
        """Of a symbolic link, until the next step of the walk. Raises OSError."""
        return os.readlink(self._name, dir_fd=self._directory)


def walk(root: int, path: str, excluded: PatternMatcher | None) -> Generator[Found]:
    """A file, or a directory with all below it, each directory before what is in it, names sorted.

    Args:
        path: links in it, and at its end, are resolved in the root; those below it are not followed.
        excluded: paths below the top that are left out.
    Raises:
        InvalidInput: something was replaced meanwhile.
    """
    levels: list[_Level] = []
    top = open_in_root(root, path or ".", os.O_PATH)
    try:
        found = Found(top, "", "", os.fstat(top))
        yield found
        if found.is_directory:
            levels.append(_Level.of(found))
        while levels:
            inner = levels[-1].next()
            if inner is None:
                levels.pop().close()
                continue
            left_out = excluded is not None and excluded.excludes(inner.path)
            if not left_out:
                yield inner
            if inner.is_directory and (not left_out or (excluded is not None and excluded.has_exceptions)):
                levels.append(_Level.of(inner))
    finally:
        for level in levels:
            level.close()
        os.close(top)


@dataclass
class _Level:
    """A directory on the way down, with the names in it that are left, the last first."""

    descriptor: int
    path: str
    names: list[str]

    @classmethod
    def of(cls, found: Found) -> "_Level":
        try:
            opened = found.open(os.O_DIRECTORY)
        except OSError as error:
            raise InvalidInput(f"{found.path[:200]}: {error.strerror}") from error
        with os.scandir(opened) as entries:
            names = sorted((entry.name for entry in entries), reverse=True)
        return cls(opened, f"{found.path}/" if found.path else "", names)

    def next(self) -> Found | None:
        if not self.names:
            return None
        path = self.path + (name := self.names.pop())
        try:
            return Found(self.descriptor, name, path, os.lstat(name, dir_fd=self.descriptor))
        except OSError as error:
            raise InvalidInput(f"{path[:200]}: {error.strerror}") from error

    def close(self) -> None:
        os.close(self.descriptor)
