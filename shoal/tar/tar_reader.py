"""Reads entries of a tar archive as a stream: extended headers are applied, within the layer's budget.

Only the settings of global headers are kept from one entry to the next.
"""

from collections.abc import Callable, Iterator, Mapping

from shoal.errors import InvalidInput
from shoal.tar import tar_header
from shoal.tar.budget import BudgetMeter
from shoal.tar.tar_header import (
    BLOCK,
    Header,
    parse_decimal,
    parse_header,
    parse_records,
    parse_size,
    parse_time,
)

_XATTR = b"SCHILY.xattr."
_SPARSE = b"GNU.sparse."
_USED = frozenset((b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime"))
_PIECE = 1 << 20


class TarEntry:
    """An entry with its headers applied. `xattrs` by name, as bytes; `sparse`: its content is not plain."""

    def __init__(self, header: Header, xattrs: Mapping[bytes, bytes], sparse: bool) -> None:
        self.header = header
        self.xattrs = xattrs
        self.sparse = sparse


class TarReader:
    """Iterate over its `entries`; read an entry's content before the next entry.

    Args:
        read: returns the next bytes of the archive, fewer only at its end.
    """

    def __init__(self, read: Callable[[int], bytes], meter: BudgetMeter) -> None:
        self._read = read
        self._meter = meter
        self._defaults: dict[bytes, bytes] = {}
        self._default_bytes = 0
        self._left = self._padding = 0

    def entries(self) -> Iterator[TarEntry]:
        """All entries in their order.

        Raises:
            InvalidInput: not a tar archive, or the budget is exceeded. Also what `read` raises.
        """
        while (header := self._next_header()) is not None:
            extended: dict[bytes, bytes] = {}
            total = 0
            while header.kind in tar_header.EXTENDED:
                total += header.size
                if total > self._meter.budget.header_bytes:
                    raise InvalidInput(
                        f"extended header too large ({total} bytes); the maximum is {self._meter.budget.header_bytes}"
                    )
                self._extend(extended, header)
                header = self._next_header()
                if header is None:
                    raise InvalidInput("the layer is not a valid tar archive: an extended header without an entry")
            entry = _applied(header, {**self._defaults, **extended} if self._defaults else extended)
            with_content = header.kind in tar_header.WITH_CONTENT
            self._left = entry.header.size if with_content else 0
            self._padding = -self._left % BLOCK
            yield entry

    def content(self) -> Iterator[bytes]:
        """The current entry's content in pieces of at most a mebibyte. Raises as `entries` does."""
        while self._left:
            piece = self._read(min(self._left, _PIECE))
            if not piece:
                raise InvalidInput("the layer is not a valid tar archive: truncated file")
            self._left -= len(piece)
            yield piece

    def _next_header(self) -> Header | None:
        self._skip_rest()
        block = self._read(BLOCK)
        header = parse_header(block) if block else None
        if header is not None:
            self._meter.add_entry()
        return header

    def _skip_rest(self) -> None:
        for piece in self.content():
            self._meter.add_ignored(len(piece))
        if self._padding:
            self._read(self._padding)
            self._padding = 0

    def _extend(self, extended: dict[bytes, bytes], header: Header) -> None:
        """Read an extended header's content and apply it to the next entry, or to all later ones."""
        self._left, self._padding = header.size, -header.size % BLOCK
        content = b"".join(self.content())
        if header.kind == tar_header.GNU_LONG_NAME:
            extended[b"path"] = content.partition(b"\0")[0]
        elif header.kind == tar_header.GNU_LONG_LINK:
            extended[b"linkpath"] = content.partition(b"\0")[0]
        elif header.kind == tar_header.PAX_GLOBAL:
            self._default_bytes += _apply(self._defaults, content)
            if self._default_bytes > self._meter.budget.default_bytes:
                raise InvalidInput(
                    "global extended headers too large; the maximum is "
                    f"{self._meter.budget.default_bytes} bytes of attributes"
                )
        else:
            _apply(extended, content)


def _apply(records: dict[bytes, bytes], content: bytes) -> int:
    """Store the supported records; returns their size in bytes. An empty value removes an earlier setting."""
    total = 0
    for key, value in parse_records(content):
        if key in _USED or key.startswith((_XATTR, _SPARSE)):
            total += len(key) + len(value)
            records[key] = value
    return total


def _applied(header: Header, records: Mapping[bytes, bytes]) -> TarEntry:
    if not records:
        return TarEntry(_as_directory(header), {}, header.kind == tar_header.GNU_SPARSE)
    header.name = records.get(b"path") or header.name
    header.link = records.get(b"linkpath") or header.link
    header.size = parse_size(records[b"size"]) if records.get(b"size") else header.size
    header.uid = parse_decimal(records[b"uid"], "owner") if records.get(b"uid") else header.uid
    header.gid = parse_decimal(records[b"gid"], "group") if records.get(b"gid") else header.gid
    header.mtime_ns = parse_time(records[b"mtime"]) if records.get(b"mtime") else header.mtime_ns
    xattrs = {key.removeprefix(_XATTR): value for key, value in records.items() if key.startswith(_XATTR)}
    sparse = header.kind == tar_header.GNU_SPARSE or any(key.startswith(_SPARSE) for key in records)
    return TarEntry(_as_directory(header), xattrs, sparse)


def _as_directory(header: Header) -> Header:
    """Archives from before POSIX have no kind for directories: a trailing slash marks them."""
    if header.kind == tar_header.OLD_REGULAR and header.name.endswith(b"/"):
        header.kind = tar_header.DIRECTORY
    return header
