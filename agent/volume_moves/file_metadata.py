"""Owner, mode, times and extended attributes of files: read at the source of a move, applied at the target."""

import errno
import os
import stat
from collections.abc import Iterator

from shoal.api.v1.volume_data_pb2 import TreeAttribute, TreeMetadata
from shoal.errors import InvalidInput, Refused

_COPIED = (b"user.", b"trusted.", b"system.posix_acl_", b"security.capability")
"""Other attributes are labels of the host's security modules; each host sets its own."""

_NO_OWNER = 0xFFFF_FFFF
"""Means "leave the owner as it is" to chown(2)."""

_NO_ATTRIBUTES = (errno.ENOTSUP, errno.EPERM, errno.ENODATA)


def read_metadata(source: int | str, status: os.stat_result) -> TreeMetadata:
    """Read a file's metadata.

    Args:
        source: an open file or directory, or a /proc path to a file that must not be opened.
    """
    return TreeMetadata(
        mode=status.st_mode,
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=status.st_mtime_ns,
        atime_ns=status.st_atime_ns,
        attributes=_attributes(source),
    )


def _attributes(source: int | str) -> Iterator[TreeAttribute]:
    try:
        names = sorted(map(os.fsencode, os.listxattr(source)))
    except OSError as error:
        if error.errno not in _NO_ATTRIBUTES:
            raise
        return
    for name in names:
        if name.startswith(_COPIED):
            yield TreeAttribute(name=name, value=os.getxattr(source, name))


def apply_to_open(target: int, metadata: TreeMetadata, kind: int) -> None:
    """Apply metadata to an open file or directory.

    Args:
        kind: of stat(2): S_IFREG or S_IFDIR.
    Raises:
        InvalidInput: it is of another kind. Refused: the file system does not support it. OSError: the kernel failed.
    """
    validate(metadata)
    if stat.S_IFMT(metadata.mode) != kind:
        raise InvalidInput("protocol error: the source node sent metadata of another file type")
    # The owner first: changing it clears file capabilities and set-user-ID bits.
    os.fchown(target, metadata.uid, metadata.gid)
    os.fchmod(target, stat.S_IMODE(metadata.mode))
    _put_attributes(target, metadata)
    os.utime(target, ns=(metadata.atime_ns, metadata.mtime_ns))


def apply_to_entry(into: int, name: str, metadata: TreeMetadata) -> None:
    """Apply metadata to a file that must not be opened, by its name in an open directory. Raises as `apply_to_open`."""
    validate(metadata)
    os.chown(name, metadata.uid, metadata.gid, dir_fd=into, follow_symlinks=False)
    if not stat.S_ISLNK(metadata.mode):
        os.chmod(name, stat.S_IMODE(metadata.mode), dir_fd=into)
    _put_attributes(f"/proc/self/fd/{into}/{name}", metadata)
    os.utime(name, ns=(metadata.atime_ns, metadata.mtime_ns), dir_fd=into, follow_symlinks=False)


def validate(metadata: TreeMetadata) -> None:
    """Raises InvalidInput for an invalid owner, or an attribute that is not copied."""
    if _NO_OWNER in (metadata.uid, metadata.gid):
        raise InvalidInput("protocol error: the source node sent an invalid owner")
    for attribute in metadata.attributes:
        if not attribute.name.startswith(_COPIED) or b"\0" in attribute.name:
            raise InvalidInput(f"protocol error: the source node sent unsupported attribute {attribute.name!r}")


def _put_attributes(target: int | str, metadata: TreeMetadata) -> None:
    for attribute in metadata.attributes:
        try:
            os.setxattr(target, attribute.name, attribute.value, follow_symlinks=isinstance(target, int))
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise
            name = os.fsdecode(attribute.name)
            raise Refused(f"the file system of volumes does not support attribute {name}") from error
