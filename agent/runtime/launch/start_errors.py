"""Errors of a start, as users see them."""

import asyncio
import errno
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from agent.disk_full import disk_full, is_disk_full, lacks_space, says_disk_full, says_namespace_limit
from agent.runtime.container_paths import ContainerPaths
from shoal.errors import Exhausted, ShoalError, Unavailable

_EXHAUSTED = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


@contextmanager
def disk_failures() -> Iterator[None]:
    """A failure of the disk is one that may pass. Raises Unavailable instead of OSError."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"{error.filename}: {error.strerror}") from error


@asynccontextmanager
async def disk_errors(paths: ContainerPaths) -> AsyncGenerator[None]:
    """Errors of what is written for a start, as `start_error` has them."""
    try:
        yield
    except OSError as error:
        raise start_error(error, await asyncio.to_thread(full_disk, paths), paths) from error


def full_disk(paths: ContainerPaths) -> Path | None:
    """Which of the two file systems is full; ask before the remains of the start are deleted."""
    return next((each for each in (paths.state, paths.run) if lacks_space(each)), None)


def start_error(error: BaseException, full: Path | None, paths: ContainerPaths) -> BaseException:
    """The error to raise in place of this one; the same where it is good as it is."""
    if isinstance(error, OSError):
        return _to_shoal_error(error, full or paths.state)
    if isinstance(error, Unavailable) and says_namespace_limit(str(error)):
        return Unavailable(f"{error}; raise the limits user.max_*_namespaces with `sysctl`")
    if isinstance(error, Unavailable) and (full is not None or says_disk_full(str(error))):
        return disk_full(f"the disk is full: {error}", full or paths.state)
    return error


def _to_shoal_error(error: OSError, full: Path) -> ShoalError:
    text = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    if is_disk_full(error):
        return disk_full(f"cannot start the container: {text}", full)
    if error.errno in _EXHAUSTED:
        return Exhausted(f"cannot start the container: {text}; free memory or file descriptors")
    return Unavailable(f"cannot start the container: {text}")
