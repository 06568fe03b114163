"""Files as fsutil's protocol lists them, as entries of a context's list. Pure."""

import stat

from engine.buildkit.v1.fsutil_pb2 import Stat
from engine.protocol.go_modes import from_go_mode
from shoal.api.v1.builds_pb2 import ContextEntry
from shoal.errors import InvalidInput

_NS = 1_000_000_000
_KINDS = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO)
_SHOWN = 200


def is_regular(sent: Stat) -> bool:
    """Whether it is a regular file, or a hard link to one."""
    mode = from_go_mode(sent.mode)
    return mode is not None and stat.S_ISREG(mode)


def has_content(sent: Stat) -> bool:
    """Whether a file's content has to be asked for."""
    return is_regular(sent) and not sent.linkname and sent.size > 0


def context_entry(sent: Stat) -> ContextEntry | None:
    """An entry; None: of a kind that contexts do not have.

    Raises:
        InvalidInput: the path is none in a directory.
    """
    mode = from_go_mode(sent.mode)
    if mode is None or stat.S_IFMT(mode) not in _KINDS:
        return None
    is_link = stat.S_ISREG(mode) and bool(sent.linkname)
    link = _checked(sent.linkname) if is_link else sent.linkname
    size = sent.size if has_content(sent) else 0
    return ContextEntry(
        path=_checked(sent.path).encode(),
        mode=mode,
        size=size,
        mtime=sent.mod_time // _NS,
        link=link.encode() if is_link or stat.S_ISLNK(mode) else b"",
        hard_link=is_link,
    )


def _checked(path: str) -> str:
    parts = path.split("/")
    if not path or path.startswith("/") or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise InvalidInput(f"the client has sent a file with an invalid path: {path[:_SHOWN]!r}")
    return path
