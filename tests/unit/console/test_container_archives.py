"""Files of containers between browsers and archives."""

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.archives.single_file import MAX_EXTENDED, SingleFile
from console.archives.uploaded_file import header_of, padding_of
from shoal.errors import Conflict, InvalidInput


def archive_of(info: tarfile.TarInfo, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@given(st.binary(max_size=3000), st.integers(1, 700), st.booleans())
def test_a_file_comes_out_as_it_is_however_its_archive_is_cut(content: bytes, step: int, extended: bool) -> None:
    info = tarfile.TarInfo("n" * 300 if extended else "file")
    info.size = len(content)
    info.pax_headers = {"SCHILY.xattr.user.a": "b" * 600} if extended else {}
    data, file = archive_of(info, content), SingleFile(len(content))
    found = b"".join(file.feed(data[begin : begin + step]) for begin in range(0, len(data), step))
    assert found == content and file.complete


def test_what_is_no_file_is_refused() -> None:
    directory = tarfile.TarInfo("dir")
    directory.type = tarfile.DIRTYPE
    huge = tarfile.TarInfo("file")
    huge.pax_headers = {"SCHILY.xattr.user.a": "b" * MAX_EXTENDED}
    for data in (archive_of(directory, b""), archive_of(huge, b""), b"x" * 512, bytes(512)):
        with pytest.raises(InvalidInput):
            SingleFile(0).feed(data)
    cut = SingleFile(0)
    cut.feed(archive_of(tarfile.TarInfo("file"), b"")[:300])
    assert not cut.complete
    three = tarfile.TarInfo("file")
    three.size = 3
    for announced in (0, 4):
        with pytest.raises(Conflict):
            SingleFile(announced).feed(archive_of(three, b"abc"))


@pytest.mark.parametrize("name", ["file", "a/b/file", "\u202e<b>", "ü" * 200])
def test_an_upload_is_an_archive_of_its_path(name: str, tmp_path: Path) -> None:
    content = b"12345"
    data = header_of(name, len(content), modified_s=1_700_000_000) + content + padding_of(len(content))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        *directories, file = tar.getmembers()
        extracted = tar.extractfile(file)
    assert extracted is not None and extracted.read() == content
    assert (file.name, file.mode, file.uid, file.mtime) == (name, 0o644, 0, 1_700_000_000)
    assert [each.name for each in directories] == ["a", "a/b"] * ("/" in name)


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/.", "a\0b", "x" * 2000])
def test_no_upload_leads_out_of_its_directory(name: str) -> None:
    with pytest.raises(InvalidInput):
        header_of(name, 1, modified_s=0)
