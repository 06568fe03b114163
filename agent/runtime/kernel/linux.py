"""System calls that Python's library lacks, as functions that raise OSError."""

import ctypes
import errno
import fcntl
import os
import struct
from pathlib import Path

CLONE_FS = 0x200
CLONE_NEWNS = 0x20000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_REMOUNT = 32
MS_BIND = 1 << 12
MS_REC = 1 << 14
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20

_MNT_DETACH = 2
_MOUNT_SETATTR = 442  # the same on all architectures
_OPEN_TREE, _MOVE_MOUNT = 428, 429  # likewise
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH = 1, 4
_AT_FDCWD = -100
_PR_SET_CHILD_SUBREAPER = 36
_FS_IOC_GETFLAGS, _FS_IOC_SETFLAGS, _FS_TOPDIR_FL = 0x8008_6601, 0x4008_6602, 0x0002_0000
_WITHOUT_FLAGS = (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EACCES)

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """unshare(2) for the calling thread."""
    _check(_libc.unshare(flags), "unshare")


def set_namespace(namespace_fd: int, kind: int) -> None:
    """setns(2) for the calling thread."""
    _check(_libc.setns(namespace_fd, kind), "setns")


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """mount(2). `options` is limited to one page, 4,096 bytes."""
    encoded = kind.encode() if kind is not None else None
    result = _libc.mount(source.encode(), os.fsencode(target), encoded, ctypes.c_ulong(flags), os.fsencode(options))
    _check(result, f"mount {kind or 'propagation'} at {target}")


def unmount(target: Path) -> None:
    """Detach the topmost mount at `target` (umount2(2), MNT_DETACH)."""
    _check(_libc.umount2(os.fsencode(target), _MNT_DETACH), f"umount {target}")


def clone_mount(path: Path) -> int:
    """A descriptor of a copy of the mount at a path, without those below it, that is mounted nowhere (open_tree(2))."""
    result = _libc.syscall(_OPEN_TREE, _AT_FDCWD, os.fsencode(path), _OPEN_TREE_CLONE | os.O_CLOEXEC)
    return _check(result, f"open_tree {path}")


def move_mount(mount_fd: int, target: Path) -> None:
    """Mount what `clone_mount` has returned (move_mount(2))."""
    result = _libc.syscall(_MOVE_MOUNT, mount_fd, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
    _check(result, f"move_mount to {target}")


def has_mount_setattr() -> bool:
    """Whether this kernel has mount_setattr(2): Linux 5.12 and later."""
    return not (_libc.syscall(_MOUNT_SETATTR, -1, None, 0, None, 0) < 0 and ctypes.get_errno() == errno.ENOSYS)


def become_subreaper() -> None:
    """Make orphaned descendants children of this process, so that it can wait for them (prctl(2))."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl PR_SET_CHILD_SUBREAPER")


def spread_subdirectories(path: Path) -> None:
    """Make the file system place each new directory in `path` in another block group, as in `/home` (chattr(1), `+T`).

    ext4 skips inodes that were freed within the last minutes one by one, in the block group of the directory: if many
    files are created and deleted, that soon costs half a millisecond for each new file; several groups share the cost.
    A file system without this flag is left unchanged.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = bytearray(struct.calcsize("l"))
        fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, flags)
        desired = struct.unpack_from("i", flags)[0] | _FS_TOPDIR_FL
        fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, struct.pack("l", desired))
    except OSError as error:
        if error.errno not in _WITHOUT_FLAGS:
            raise
    finally:
        os.close(descriptor)
