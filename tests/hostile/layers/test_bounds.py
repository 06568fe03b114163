"""Small layers that want much of a host: each is refused, or costs what an honest one would, within a stated bound.

All are unpacked as in an agent. Its own process grows by a mebibyte at most; the one that unpacks stays below
`MEMORY`, of which 16 MiB are Python; nothing is left where a layer was unpacked.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.distribution.digests import digest_of
from tests.hostile.layers.attempt import Attempt, attempt
from tests.hostile.layers.making import END, header, padded, pax, squeezed

MEMORY = 64 << 20
GROWTH = 2 << 20
DEEP = b"d/" * 2000


def deep_links(count: int) -> Iterator[bytes]:
    """46 kB once made an agent keep 308 MB: each path, in 2,000 parts."""
    for number in range(count):
        yield pax((b"path", DEEP + b"%d" % number)) + header(b"long", b"2", link=b"x")


def chained_defaults(count: int, size: int) -> Iterator[bytes]:
    """Global headers one after another: 281 kB once came to 1.09 GB."""
    for number in range(count):
        yield pax((b"SCHILY.xattr.user.%d" % number, b"x" * size), kind=b"g")
    yield header(b"file")


def chained_headers(count: int, size: int) -> Iterator[bytes]:
    """The same for one entry alone."""
    for _ in range(count):
        yield pax((b"SCHILY.xattr.user.x", b"x" * size))
    yield header(b"file")


def slow_links(count: int) -> Iterator[bytes]:
    """Each file's path passes through 40 links that go up and down 800 times each: 10 kB held a slot for minutes."""
    yield header(b"a", b"5")
    for number in range(40):
        down = b"a/../" * 800 + (b"%d" % (number + 1) if number < 39 else b"a")
        yield pax((b"linkpath", down)) + header(b"%d" % number, b"2")
    for number in range(count):
        yield header(b"%d/%d" % (number % 2, number))


def replaced(links: int, count: int) -> Iterator[bytes]:
    """Directories that later entries replace, beside very many links."""
    for number in range(links):
        yield header(b"links/%d" % number, b"2", link=b"x")
    for _ in range(count):
        yield header(b"d/e", b"5") + header(b"d") + header(b"d", b"5") + header(b"d", b"2", link=b"x")


def repeated(count: int) -> Iterator[bytes]:
    """One entry, over and over: some bytes a hundred thousand times."""
    block = header(b"same", b"5") * 1000
    for _ in range(count // 1000):
        yield block


def ignored(kind: bytes, name: bytes, mebibytes: int) -> Iterator[bytes]:
    """Content that is written nowhere."""
    yield header(name, kind, size=mebibytes << 20) if name else END
    for _ in range(mebibytes):
        yield bytes(1 << 20)


def files_that_replace_each_other(size: int, free: int) -> Iterator[bytes]:
    """The disk does not fill, and is kept busy for ever."""
    for _ in range(free // size + 2):
        yield header(b"same", size=size) + bytes(size)


def bounded(found: Attempt, seconds: float) -> None:
    """It kept to what every layer keeps to, and to so much processor time."""
    assert found.memory < MEMORY and found.agent_growth < GROWTH and not found.left
    assert found.processor_seconds < seconds


@pytest.mark.parametrize(
    ("parts", "message", "seconds"),
    [
        (chained_defaults(400, 1 << 20), "extended header too large", 10.0),
        (chained_defaults(400, 2000), "global extended headers", 10.0),
        (chained_headers(400, 1 << 19), "extended header too large", 10.0),
        (slow_links(200), "too many symbolic links", 30.0),
        (repeated(120_000), "too many entries", 40.0),
        (ignored(b"0", b".wh.gone", 80), "of data outside of its files", 10.0),
        (ignored(b"0", b"", 80), "of data outside of its files", 10.0),
    ],
    ids=["defaults", "small defaults", "headers", "slow links", "repeated", "whiteout with content", "after its end"],
)
def test_what_costs_its_author_nothing_is_refused(
    tmp_path: Path, parts: Iterator[bytes], message: str, seconds: float
) -> None:
    blob = squeezed(parts)
    assert len(blob) < 1 << 20
    found = attempt(blob, tmp_path)
    assert found.error == "InvalidInput" and message in found.text, found
    bounded(found, seconds)


@pytest.mark.parametrize(
    ("parts", "seconds"), [(deep_links(3000), 30.0), (replaced(15_000, 1500), 40.0)], ids=["deep links", "replaced"]
)
def test_what_is_odd_is_unpacked_without_keeping_it(tmp_path: Path, parts: Iterator[bytes], seconds: float) -> None:
    content = b"".join(parts) + END
    blob = squeezed([content[: -len(END)]])
    found = attempt(blob, tmp_path, digest_of(content))
    assert not found.error, found.text
    bounded(found, seconds)


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        (1 << 50, "Exhausted", "not enough disk space in the image store"),
        ((1 << 63) - 1, "Exhausted", "not enough disk space in the image store"),
        (1 << 63, "InvalidInput", "invalid size"),
        ((1 << 87) - 1, "InvalidInput", "invalid size"),
    ],
)
def test_a_file_larger_than_the_disk_is_refused_before_it_is_written(
    tmp_path: Path, size: int, error: str, message: str
) -> None:
    found = attempt(squeezed([header(b"huge", size=size), bytes(32 << 20)]), tmp_path)
    assert found.error == error and message in found.text, found
    bounded(found, 5.0)


def test_a_layer_writes_no_more_than_the_disk_has_room_for(tmp_path: Path, small_disk: Path) -> None:
    found = attempt(squeezed(files_that_replace_each_other(8 << 20, 200 << 20)), small_disk)
    assert found.error == "Exhausted" and "to unpack the layer" in found.text, found
    bounded(found, 10.0)


def test_more_inodes_than_the_disk_has_are_reported(tmp_path: Path, small_disk: Path) -> None:
    found = attempt(squeezed(header(b"%d" % number) for number in range(5000)), small_disk)
    assert found.error == "Exhausted" and "inodes" in found.text, found
    bounded(found, 10.0)


def test_attributes_without_end(tmp_path: Path) -> None:
    """A file's attributes are bounded with its headers; what the disk does not take is no full disk."""
    many = pax(*((b"SCHILY.xattr.user.%d" % number, b"x" * 4000) for number in range(250)))
    for entry in (
        pax((b"SCHILY.xattr.user.large", b"x" * 65537)),
        pax((b"SCHILY.xattr.user." + b"n" * 300, b"x")),
        pax((b"SCHILY.xattr.user.", b"x")),
        pax((b"SCHILY.xattr.user.a\0b", b"x")),
        pax((b"SCHILY.xattr.security.capability", b"nonsense")),
        many,
    ):
        found = attempt(squeezed([entry, header(b"file")]), tmp_path)
        assert found.error == "InvalidInput", found
        bounded(found, 5.0)


def test_padding_is_taken(tmp_path: Path) -> None:
    """GNU tar fills its last record, of a size that its user chooses."""
    content = header(b"file", size=3) + padded(b"abc") + END
    found = attempt(squeezed([content, bytes(1 << 20)]), tmp_path, digest_of(content + bytes((1 << 20) + 1024)))
    assert not found.error, found
