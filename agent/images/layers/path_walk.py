"""Opens directories of a layer by path: symbolic links are resolved inside of the root, missing directories are
created.

No state is kept in memory. A path of existing directories without links is one system call. Any other is resolved one
component at a time, and each counts against the layer's budget.
"""

import errno
import os

from agent.images.layers.layer_paths import Parts, components, quoted
from agent.safe_paths.system_calls import open_directory_beneath
from shoal.errors import InvalidInput
from shoal.tar.budget import BudgetMeter

_MAX_LINKS = 40  # as path_resolution(7)


def open_directory(root_fd: int, path: Parts, meter: BudgetMeter, *, make: bool) -> int:
    """A new descriptor of a directory below a layer's root, to which nothing else writes.

    Args:
        make: create missing directories: owned by root, mode 0755, dated 1970.
    Raises:
        InvalidInput: a component is a file, there are too many links, or the budget is exceeded.
        FileNotFoundError: it is missing and `make` is false.
    """
    try:
        return open_directory_beneath(root_fd, "/".join(path))
    except OSError as error:
        if error.errno == errno.ENOTDIR:
            raise _not_a_directory(path) from error
        if error.errno not in (errno.ENOENT, errno.ELOOP):
            raise
    walk = _PathWalk(root_fd, path, meter, make=make)
    try:
        return walk.resolve()
    except BaseException:
        walk.close()
        raise


class _PathWalk:
    """`place` is the resolved path so far, without links; `fd` is its descriptor."""

    def __init__(self, root_fd: int, path: Parts, meter: BudgetMeter, *, make: bool) -> None:
        self._root_fd = root_fd
        self._path = path
        self._meter = meter
        self._make = make
        self._waiting = list(reversed(path))
        self._followed = 0
        self._place: list[str] = []
        self._fd = os.dup(root_fd)

    def close(self) -> None:
        os.close(self._fd)

    def resolve(self) -> int:
        while self._waiting:
            part = self._waiting.pop()
            self._meter.add_steps(1)
            if part == "..":
                self._go_to(self._place[:-1])
            else:
                self._step(part)
        return self._fd

    def _step(self, part: str) -> None:
        try:
            self._enter(open_directory_beneath(self._fd, part), part)
        except FileNotFoundError:
            if not self._make:
                raise
            self._make_directory(part)
        except OSError as error:
            if error.errno == errno.ENOTDIR:
                raise _not_a_directory(self._path) from error
            if error.errno != errno.ELOOP:
                raise
            self._follow(part)

    def _enter(self, fd: int, part: str) -> None:
        os.close(self._fd)
        self._fd = fd
        self._place.append(part)

    def _go_to(self, place: list[str]) -> None:
        self._meter.add_steps(len(place))
        fd = open_directory_beneath(self._root_fd, "/".join(place))
        os.close(self._fd)
        self._fd, self._place = fd, place

    def _make_directory(self, part: str) -> None:
        self._meter.add_entry()
        before = os.fstat(self._fd)
        os.mkdir(part, 0o755, dir_fd=self._fd)
        # A directory keeps the modification time from its layer, whatever is written into it.
        os.utime(self._fd, ns=(before.st_atime_ns, before.st_mtime_ns))
        self._enter(open_directory_beneath(self._fd, part), part)
        os.utime(self._fd, ns=(0, 0))

    def _follow(self, part: str) -> None:
        self._followed += 1
        if self._followed > _MAX_LINKS:
            raise InvalidInput(f"layer entry {quoted('/'.join(self._path))}: too many levels of symbolic links")
        target = os.readlink(part, dir_fd=self._fd)
        if target.startswith("/"):
            self._go_to([])
        self._waiting.extend(reversed(components(target)))


def _not_a_directory(path: Parts) -> InvalidInput:
    return InvalidInput(f"layer entry {quoted('/'.join(path))} is a file, but must be a directory")
