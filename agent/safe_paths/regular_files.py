"""Reads small untrusted files: regular files only, with a size limit."""

import errno
import os
import stat
from pathlib import Path

from agent.safe_paths.system_calls import open_in_root


def read_regular(root_fd: int, path: str, *, max_bytes: int) -> bytes:
    """Content of a regular file below a root directory; symbolic links are resolved inside it.

    Nothing else is ever opened: opening a device may act on it, and opening a FIFO waits for its other end.

    Raises:
        FileNotFoundError, NotADirectoryError: there is none.
        OSError: EFBIG for a larger file, EINVAL for another kind of file, ELOOP for too many links, EAGAIN for a file
            with a lease (fcntl(2)), whose holder could block the open.
    """
    return _content(open_in_root(root_fd, path, os.O_PATH), path, max_bytes)


def read_regular_file(path: Path, *, max_bytes: int) -> bytes:
    """As `read_regular`, for a path of the host."""
    return _content(os.open(path, os.O_PATH | os.O_CLOEXEC), str(path), max_bytes)


def _content(found: int, path: str, max_bytes: int) -> bytes:
    """Takes over the descriptor."""
    try:
        status = os.fstat(found)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        if status.st_size > max_bytes:
            raise OSError(errno.EFBIG, f"larger than {max_bytes} bytes", path)
        # Kernel files such as /proc/kmsg are regular, have no size, and reading them may have effects.
        return _read(found, max_bytes) if status.st_size else b""
    finally:
        os.close(found)


def _read(found: int, max_bytes: int) -> bytes:
    """Read exactly the file that was checked, whatever has its name by now."""
    descriptor = os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(max_bytes)
