"""Reads small untrusted files: regular files only, with a size limit."""

import errno
import os
import stat
from pathlib import Path

from agent.safe_paths.system_calls import open_in_root


def read_regular(root_fd: int, path: str, *, max_bytes: int) -> bytes:
    """Content of a regular file below a root directory, symbolic links followed as inside it.

    Nothing else is ever opened: to open a device may act on it, to open a FIFO waits for its other end.

    Raises:
        FileNotFoundError, NotADirectoryError: there is none.
        OSError: EFBIG for a larger one, EINVAL for what is no regular file, ELOOP for links without end; EAGAIN for a
            file with a lease (fcntl(2)), which its holder would have us wait for.
    """
    return _content(open_in_root(root_fd, path, os.O_PATH), path, max_bytes)


def read_regular_file(path: Path, *, max_bytes: int) -> bytes:
    """As `read_regular`, of a path of the host."""
    return _content(os.open(path, os.O_PATH | os.O_CLOEXEC), str(path), max_bytes)


def _content(found: int, path: str, most_bytes: int) -> bytes:
    """Takes over the descriptor."""
    try:
        status = os.fstat(found)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        if status.st_size > most_bytes:
            raise OSError(errno.EFBIG, f"larger than {most_bytes} bytes", path)
        # Files of kernel file systems such as /proc/kmsg are regular, have no size, and may act when they are read.
        return _read(found, most_bytes) if status.st_size else b""
    finally:
        os.close(found)


def _read(found: int, most_bytes: int) -> bytes:
    """The very file that was looked at, whatever has its name by now."""
    descriptor = os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most_bytes)
