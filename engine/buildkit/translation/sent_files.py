"""Files as fsutil's protocol tells of them, as entries of a tar archive. Pure."""

import stat
import tarfile

from engine.buildkit.translation.go_modes import from_go_mode
from engine.buildkit.v1.fsutil_pb2 import Stat
from shoal.errors import InvalidInput
from shoal.tar.tar_entries import KINDS
from shoal.tar.tar_header import HARD_LINK, REGULAR
from shoal.tar.ustar_header import ustar_header

_NS = 1_000_000_000
_XATTR = "SCHILY.xattr."
_WITH_DEVICE = (tarfile.CHRTYPE, tarfile.BLKTYPE)
_SHOWN = 200


def has_content(sent: Stat) -> bool:
    """Whether a file's content has to be asked for."""
    return is_regular(sent) and not sent.linkname and sent.size > 0


def is_regular(sent: Stat) -> bool:
    """Whether it is a regular file, or a hard link to one."""
    mode = from_go_mode(sent.mode)
    return mode is not None and stat.S_ISREG(mode)


def archive_header(sent: Stat) -> bytes:
    """The header of a file, root's and with whole seconds; empty for kinds that archives do not have.

    Raises:
        InvalidInput: the path is none in a directory, or a number is too large for an archive.
    """
    mode = from_go_mode(sent.mode)
    kind = KINDS.get(stat.S_IFMT(mode)) if mode is not None else None
    if mode is None or kind is None:
        return b""
    name = _checked(sent.path) + ("/" if kind == tarfile.DIRTYPE else "")
    is_link = kind == REGULAR and bool(sent.linkname)
    kind = HARD_LINK if is_link else kind
    link = _checked(sent.linkname) if is_link else sent.linkname
    size = max(0, sent.size) if kind == REGULAR else 0
    if not sent.xattrs and kind not in _WITH_DEVICE:
        short = ustar_header(
            name.encode(),
            kind,
            mode=stat.S_IMODE(mode),
            size=size,
            mtime=max(0, sent.mod_time // _NS),
            link=link.encode(),
        )
        if short is not None:
            return short
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size, info.linkname = kind, stat.S_IMODE(mode), size, link
    info.mtime = max(0, sent.mod_time // _NS)
    info.devmajor, info.devminor = sent.devmajor, sent.devminor
    info.pax_headers = {
        _XATTR + key: value.decode("utf-8", "surrogateescape") for key, value in sorted(sent.xattrs.items())
    }
    try:
        return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    except ValueError:
        raise InvalidInput(f"the client has sent a file with invalid numbers: {sent.path[:_SHOWN]!r}") from None


def _checked(path: str) -> str:
    parts = path.split("/")
    if not path or path.startswith("/") or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise InvalidInput(f"the client has sent a file with an invalid path: {path[:_SHOWN]!r}")
    return path
