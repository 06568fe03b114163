"""openat2(2), renameat2(2), sync_file_range(2) and syncfs(2), which Python lacks, as functions that raise OSError."""

import ctypes
import errno
import os

_OPENAT2 = 437  # the same on all architectures
_RENAME_NOREPLACE = 1
_AT_EMPTY_PATH = 0x1000
_WAIT_BEFORE, _WRITE, _WAIT_AFTER = 1, 2, 4
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH, _IN_ROOT = 0x02, 0x04, 0x08, 0x10
_TRIES = 64
"""The kernel returns EAGAIN if something is renamed or mounted while it resolves `..`."""

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    """struct open_how of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(directory_fd: int, path: str, flags: int) -> int:
    """Open a path below a directory; symbolic links, and paths that lead out of it, are rejected.

    Args:
        flags: of open(2); O_CLOEXEC is added.
    Raises:
        OSError: ELOOP for a symbolic link, EXDEV for a path that leads out, else as open(2).
    """
    return _open(directory_fd, path, flags, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)


def open_directory_beneath(directory_fd: int, path: str) -> int:
    """As `open_beneath`, for reading a directory; an empty path is the directory itself."""
    return open_beneath(directory_fd, path or ".", os.O_RDONLY | os.O_DIRECTORY)


def open_in_root(root_fd: int, path: str, flags: int) -> int:
    """Open `path` like a process whose root directory is `root_fd`: symbolic links cannot lead out of it.

    Args:
        flags: of open(2); O_CLOEXEC is added.
    Raises:
        OSError: as open(2); ELOOP for a magic link of /proc.
    """
    return _open(root_fd, path, flags, _IN_ROOT | _NO_MAGICLINKS)


def change_owner(descriptor: int, uid: int, gid: int) -> None:
    """Change the owner of what an O_PATH descriptor holds, also of a symbolic link (fchownat(2), AT_EMPTY_PATH).

    Raises:
        OSError: as fchownat(2).
    """
    if _libc.fchownat(descriptor, b"", ctypes.c_uint32(uid), ctypes.c_uint32(gid), _AT_EMPTY_PATH) < 0:
        raise _error("")


def rename_no_replace(source_fd: int, source: str, target_fd: int, target: str) -> None:
    """Move an entry of one directory to another one, never replacing anything.

    Raises:
        FileExistsError: the name exists. OSError: as renameat2(2).
    """
    result = _libc.renameat2(
        source_fd,
        ctypes.c_char_p(os.fsencode(source)),
        target_fd,
        ctypes.c_char_p(os.fsencode(target)),
        _RENAME_NOREPLACE,
    )
    if result < 0:
        raise _error(target)


def start_writeback(descriptor: int) -> None:
    """Start writing a file's content to disk, without waiting.

    Raises:
        OSError: as sync_file_range(2).
    """
    _sync_file_range(descriptor, _WRITE)


def wait_for_writeback(descriptor: int) -> None:
    """Wait until a file's content is on disk; its size and name are not flushed.

    Raises:
        OSError: EIO, ENOSPC: something was lost.
    """
    _sync_file_range(descriptor, _WAIT_BEFORE | _WRITE | _WAIT_AFTER)


def sync_file_system(descriptor: int) -> None:
    """Flush the file system of an open file to disk.

    Raises:
        OSError: EIO, ENOSPC: something was lost.
    """
    if _libc.syncfs(descriptor) < 0:
        raise _error("")


def _sync_file_range(descriptor: int, flags: int) -> None:
    if _libc.sync_file_range(descriptor, ctypes.c_int64(0), ctypes.c_int64(0), ctypes.c_uint(flags)) < 0:
        raise _error("")


def _open(directory_fd: int, path: str, flags: int, resolve: int) -> int:
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    name, size = ctypes.c_char_p(os.fsencode(path)), ctypes.c_size_t(ctypes.sizeof(how))
    for _ in range(_TRIES):
        descriptor = _libc.syscall(_OPENAT2, directory_fd, name, ctypes.byref(how), size)
        if descriptor >= 0:
            return int(descriptor)
        if ctypes.get_errno() != errno.EAGAIN:
            break
    raise _error(path)


def _error(path: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path) if path else OSError(number, os.strerror(number))
