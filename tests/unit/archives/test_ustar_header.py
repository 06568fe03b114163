"""Short headers of tar entries are read as they were written."""

import tarfile

from hypothesis import given
from hypothesis import strategies as st

from shoal.tar.tar_header import DIRECTORY, REGULAR, parse_header
from shoal.tar.ustar_header import ustar_header


@given(
    st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name),
    st.integers(0, 0o7777),
    st.integers(0, 1 << 40),
    st.integers(0, 1 << 40),
)
def test_short_headers_read_as_written(name: bytes, mode: int, size: int, mtime: int) -> None:
    block = ustar_header(name, REGULAR, mode=mode, size=size, mtime=mtime, uid=7, gid=8)
    if block is None:
        assert len(name) > 100 or not name.isascii() or size >= 8**11 or mtime >= 8**11
        return
    header = parse_header(block)
    assert header is not None
    assert (header.name, header.mode, header.size, header.mtime_ns) == (name, mode, size, mtime * 1_000_000_000)
    assert (header.uid, header.gid, header.kind) == (7, 8, REGULAR)


def test_python_reads_them_too() -> None:
    block = ustar_header(b"d/" * 90, DIRECTORY, mode=0o755, size=0, mtime=5)
    assert block is not None
    info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    assert (info.name, info.mode, info.mtime, info.isdir()) == (("d/" * 90)[:-1], 0o755, 5, True)
