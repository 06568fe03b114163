"""File modes of Go's os.FileMode, as clients have them, from those of the kernel and back. Pure."""

import stat

_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
    stat.S_IFREG: 0,
}
_IRREGULAR = 1 << 19
_TYPE_BITS = 1 << 31 | 1 << 27 | 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | _IRREGULAR
_SPECIAL = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}
_KINDS_OF_GO = {go: kind for kind, go in _KINDS.items()}


def to_go_mode(mode: int) -> int:
    """The kernel's `st_mode` in Go's bits; without a kind it is a regular file."""
    special = sum(go for bit, go in _SPECIAL.items() if mode & bit)
    return _KINDS.get(stat.S_IFMT(mode), 0) | special | mode & 0o777


def from_go_mode(mode: int) -> int | None:
    """Go's bits as the kernel's `st_mode`; None: a kind of file that the kernel does not have."""
    kind = _KINDS_OF_GO.get(mode & _TYPE_BITS)
    if kind is None:
        return None
    return kind | sum(bit for bit, go in _SPECIAL.items() if mode & go) | mode & 0o777
