"""Extended attributes of layer entries: which ones are kept, and errors of setting them. See xattr(7)."""

import errno
import os
from collections.abc import Mapping

from agent.images.layers.layer_paths import Parts, quoted
from shoal.errors import InvalidInput

OPAQUE = "trusted.overlay.opaque"

_CAPABILITY = "security.capability"
_REFUSED = (errno.E2BIG, errno.ERANGE, errno.EINVAL, errno.ENOSPC)
_SPACE_FOR_ANY = 1 << 20


def allowed_attributes(found: Mapping[bytes, bytes]) -> dict[str, bytes]:
    """User attributes and file capabilities; attributes of overlayfs itself would let a layer redirect others."""
    names = {os.fsdecode(name): value for name, value in found.items()}
    return {
        name: value
        for name, value in names.items()
        if name == _CAPABILITY or (name.startswith("user.") and not name.startswith("user.overlay."))
    }


def set_attributes(fd: int, attributes: Mapping[str, bytes], path: Parts) -> None:
    """Set attributes of an open file or directory; `user.*` ones are skipped if the file system does not support them.

    Raises:
        InvalidInput: an attribute is invalid, or larger than the kernel (64 KiB) or the file system (ext4: one block
            for all attributes of a file) allows. OSError: the disk is full, or fails.
    """
    for name, value in attributes.items():
        try:
            os.setxattr(fd, name, value)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno == errno.EOPNOTSUPP and name.startswith("user."):
                continue
            if isinstance(error, OSError) and not _is_refused(fd, error):
                raise
            why = error.strerror if isinstance(error, OSError) else "invalid name"
            raise InvalidInput(
                f"layer entry {quoted('/'.join(path))}: cannot set extended attribute {quoted(name)} "
                f"({len(value)} bytes): {why}"
            ) from error


def _is_refused(fd: int, error: OSError) -> bool:
    """ext4 reports ENOSPC also if a file's attributes do not fit into their block."""
    if error.errno == errno.ENOSPC:
        disk = os.fstatvfs(fd)
        return disk.f_bavail * disk.f_frsize >= _SPACE_FOR_ANY
    return error.errno in _REFUSED
