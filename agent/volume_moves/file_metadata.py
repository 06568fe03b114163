"""Owner, mode, times and extended attributes of files, as they are told to another node and as it puts them."""

import errno
import os
import stat
from collections.abc import Iterator

from shoal.api.v1.volume_data_pb2 import TreeAttribute, TreeMetadata
from shoal.errors import InvalidInput, Refused

_COPIED = (b"user.", b"trusted.", b"system.posix_acl_", b"security.capability")
"""Other attributes are labels by which a host's own security modules decide; each host sets its own."""

_NO_OWNER = 0xFFFF_FFFF
"""Means "leave the owner as it is" to chown(2)."""

_NO_ATTRIBUTES = (errno.ENOTSUP, errno.EPERM, errno.ENODATA)


def read_metadata(source: int | str, status: os.stat_result) -> TreeMetadata:
    """What is told of a file.

    Args:
        source: an open file or directory, or a path of /proc to what must not be opened.
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


def apply_to_open(target: int, wanted: TreeMetadata, kind: int) -> None:
    """Put it on an open file or directory.

    Args:
        kind: of stat(2): S_IFREG or S_IFDIR.
    Raises:
        InvalidInput: it is none of that kind. Refused: the file system cannot keep it. OSError: as the kernel says.
    """
    validate(wanted)
    if stat.S_IFMT(wanted.mode) != kind:
        raise InvalidInput("protocol error: the source node sent metadata of another file type")
    # The owner first: changing it takes capabilities and the bits of set-user-ID away.
    os.fchown(target, wanted.uid, wanted.gid)
    os.fchmod(target, stat.S_IMODE(wanted.mode))
    _put_attributes(target, wanted)
    os.utime(target, ns=(wanted.atime_ns, wanted.mtime_ns))


def apply_to_entry(into: int, name: str, wanted: TreeMetadata) -> None:
    """Put it on what must not be opened, by its name in an open directory. Raises as `apply_to_open`."""
    validate(wanted)
    os.chown(name, wanted.uid, wanted.gid, dir_fd=into, follow_symlinks=False)
    if not stat.S_ISLNK(wanted.mode):
        os.chmod(name, stat.S_IMODE(wanted.mode), dir_fd=into)
    _put_attributes(f"/proc/self/fd/{into}/{name}", wanted)
    os.utime(name, ns=(wanted.atime_ns, wanted.mtime_ns), dir_fd=into, follow_symlinks=False)


def validate(wanted: TreeMetadata) -> None:
    """Raises InvalidInput when an owner is none, or an attribute is not one that is copied."""
    if _NO_OWNER in (wanted.uid, wanted.gid):
        raise InvalidInput("protocol error: the source node sent an invalid owner")
    for attribute in wanted.attributes:
        if not attribute.name.startswith(_COPIED) or b"\0" in attribute.name:
            raise InvalidInput(f"protocol error: the source node sent unsupported attribute {attribute.name!r}")


def _put_attributes(target: int | str, wanted: TreeMetadata) -> None:
    for attribute in wanted.attributes:
        try:
            os.setxattr(target, attribute.name, attribute.value, follow_symlinks=isinstance(target, int))
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise
            name = os.fsdecode(attribute.name)
            raise Refused(f"the file system of volumes does not support attribute {name}") from error
