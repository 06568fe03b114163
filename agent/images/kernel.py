"""Two system calls that Python has no name for: openat2(2) and syncfs(2)."""

import ctypes
import os

_OPENAT2 = 437  # the same on all architectures
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x02, 0x04, 0x08

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_directory_beneath(root_fd: int, path: str) -> int:
    """A new file descriptor of a directory below another one; the kernel lets no symbolic link or `..` on the way.

    Raises:
        OSError: ELOOP or EXDEV where the path is not what it must be; ENOENT, ENOTDIR.
    """
    how = _OpenHow(os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, 0, _resolution())
    name = os.fsencode(path or ".")
    fd = _libc.syscall(_OPENAT2, root_fd, ctypes.c_char_p(name), ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how)))
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    return int(fd)


def flush_file_system(fd: int) -> None:
    """Write to the disk what its file system still holds in memory.

    Raises:
        OSError: EIO, ENOSPC: something was lost.
    """
    if _libc.syncfs(fd) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _resolution() -> int:
    return _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
