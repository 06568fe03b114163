"""Which files a tar archive has and where their bytes lie: read from its headers alone, with bounds.

`tarfile` keeps whatever extended headers claim, recurses for each of them and makes up the holes of sparse files; this
reads archives of people who mean harm. Formats: ustar, pax (POSIX.1-2001), GNU's long names.
"""

import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from shoal.errors import InvalidInput

MAX_ENTRIES = 1_000_000
MAX_EXTENDED_BYTES = 1 << 20
"""Of one extended header."""

_BLOCK = 512
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_WITH_DATA = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_WITHOUT_DATA = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE)
_DEVICES = (tarfile.CHRTYPE, tarfile.BLKTYPE)


class NotTarError(InvalidInput):
    """The file does not begin with a header of a tar archive."""


@dataclass(frozen=True)
class IndexedFile:
    """One entry.

    Attributes:
        name: as in the archive, without "./" before it.
        kind: type flag of its header.
        offset: of its first byte in the archive.
        link: target of a link.
    """

    name: str
    kind: bytes
    size: int
    offset: int
    link: str = ""

    @property
    def is_regular(self) -> bool:
        """Whether it has content."""
        return self.kind in _WITH_DATA

    @property
    def is_device(self) -> bool:
        """Whether it is a device's node."""
        return self.kind in _DEVICES

    @property
    def leaves_root(self) -> bool:
        """Whether its name leads out of the directory into which the archive is unpacked."""
        return ".." in self.name.split("/")


def read_index(file: BinaryIO, size: int) -> Iterator[IndexedFile]:
    """The entries of an uncompressed archive, in its order.

    Args:
        size: of the file in bytes.
    Raises:
        InvalidInput: it is no archive, ends early, has sparse files, or more than is allowed of anything.
    """
    position = count = 0
    extended: dict[str, str] = {}
    while (header := _header(file, position)) is not None:
        count += 1
        if count > MAX_ENTRIES:
            raise InvalidInput(f"the archive has more than {MAX_ENTRIES} entries")
        start = position + _BLOCK
        length = _size(extended.get("size"), header.size)
        position = start + _data_blocks(header, length)
        if position > size + _BLOCK or start + (length if header.type not in _WITHOUT_DATA else 0) > size:
            raise InvalidInput("the archive ends early")
        if header.type in (*_PAX, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
            extended |= _extended(header, _read(file, start, header.size))
            position = start + _padded(header.size)
        elif header.type != tarfile.XGLTYPE:
            yield _entry(header, extended, start, length)
            extended = {}


def _header(file: BinaryIO, position: int) -> tarfile.TarInfo | None:
    """The header at a position; None at the end of the archive."""
    file.seek(position)
    block = file.read(_BLOCK)
    if not block and position > 0:
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # not in the stubs
        return None
    except (tarfile.HeaderError, ValueError) as error:
        if position == 0:
            raise NotTarError("not a tar archive: unknown archive format") from error
        raise InvalidInput(f"the archive is corrupt at byte {position}: {error or 'no header'}") from error


def _entry(header: tarfile.TarInfo, extended: dict[str, str], start: int, length: int) -> IndexedFile:
    if header.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse") for key in extended):
        raise InvalidInput("the archive has sparse files, which are not supported")
    name = _clean(extended.get("path", header.name))
    has_data = header.type not in _WITHOUT_DATA
    kind = header.type if header.type in (*_WITH_DATA, *_WITHOUT_DATA) else tarfile.REGTYPE
    return IndexedFile(name, kind, length if has_data else 0, start, extended.get("linkpath", header.linkname))


def _clean(name: str) -> str:
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name.rstrip("/") or "."


def _data_blocks(header: tarfile.TarInfo, length: int) -> int:
    return 0 if header.type in _WITHOUT_DATA else _padded(length)


def _padded(length: int) -> int:
    return -(-length // _BLOCK) * _BLOCK


def _size(extended: str | None, in_header: int) -> int:
    """The size in an extended header comes first (POSIX pax, "size")."""
    text = str(in_header) if extended is None else extended
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise InvalidInput("the archive has an entry with an invalid size")
    return int(text)


def _read(file: BinaryIO, start: int, length: int) -> bytes:
    if not 0 <= length <= MAX_EXTENDED_BYTES:
        raise InvalidInput(f"the archive has an extended header of {length} bytes; the maximum is {MAX_EXTENDED_BYTES}")
    file.seek(start)
    content = file.read(length)
    if len(content) != length:
        raise InvalidInput("the archive ends early")
    return content


def _extended(header: tarfile.TarInfo, content: bytes) -> dict[str, str]:
    if header.type in _PAX:
        return dict(_pax_records(content))
    key = "path" if header.type == tarfile.GNUTYPE_LONGNAME else "linkpath"
    return {key: content.partition(b"\0")[0].decode("utf-8", "surrogateescape")}


def _pax_records(content: bytes) -> Iterator[tuple[str, str]]:
    """`<length> <key>=<value>\\n`, the length in decimal and of the whole record."""
    while content.rstrip(b"\0"):
        digits, blank, _ = content[:20].partition(b" ")
        length = int(digits) if blank and digits.isdigit() else 0
        record = content[len(digits) + 1 : length]
        key, sign, value = record[:-1].partition(b"=")
        if not len(digits) + 3 <= length <= len(content) or not sign or record[-1:] != b"\n":
            raise InvalidInput("the archive has an invalid extended header")
        yield key.decode("utf-8", "replace"), value.decode("utf-8", "surrogateescape")
        content = content[length:]


def link_target(entry: IndexedFile) -> str:
    """The name in the archive to which a link leads; of one that leads out of it a name that begins with ".."."""
    if entry.kind == tarfile.LNKTYPE:
        return _clean(entry.link)
    return posixpath.normpath(posixpath.join(posixpath.dirname(entry.name), entry.link)).lstrip("/")
