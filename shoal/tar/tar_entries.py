"""Files of a disk as entries of a tar archive (POSIX.1-2001 pax)."""

import os
import stat
import tarfile
from collections.abc import Iterator, Mapping

CHUNK_BYTES = 1 << 20
"""Of a file that are read at once."""

KINDS: Mapping[int, bytes] = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}
"""Types of entries by the kind of a file, `stat.S_IFMT`; others (sockets) have none."""


def entry_header(
    name: str,
    status: os.stat_result,
    *,
    link_target: str = "",
    hard_link_to: str = "",
    attributes: Mapping[str, str] | None = None,
) -> bytes:
    """The header of a file.

    Args:
        link_target: of a symbolic link.
        hard_link_to: the entry before it that is the same file; it then has no content.
        attributes: further records of its pax header.
    """
    info = tarfile.TarInfo(name)
    info.mode, info.uid, info.gid = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
    info.mtime = status.st_mtime_ns // 1_000_000_000
    info.type = tarfile.LNKTYPE if hard_link_to else KINDS[stat.S_IFMT(status.st_mode)]
    info.linkname = hard_link_to or link_target
    if info.type == tarfile.REGTYPE:
        info.size = status.st_size
    elif info.type in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    info.pax_headers = dict(attributes or {})
    if fraction := status.st_mtime_ns % 1_000_000_000:
        info.pax_headers["mtime"] = f"{info.mtime}.{fraction:09d}"
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def entry_content(descriptor: int, size: int) -> Iterator[bytes]:
    """Exactly as many bytes as the header says, whatever happens to the file meanwhile; then the padding."""
    left = size
    while left:
        piece = os.read(descriptor, min(left, CHUNK_BYTES)) or bytes(min(left, CHUNK_BYTES))
        left -= len(piece)
        yield piece
    yield bytes(-size % tarfile.BLOCKSIZE)
