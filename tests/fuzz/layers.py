"""What an image says, as bytes: each target takes any, raises nothing but errors for the user, and checks bounds."""

import io
import os
import struct
import tempfile
from contextlib import suppress
from pathlib import Path

from agent.images.disk_guard import DiskGuard
from agent.images.image_index import image_config
from agent.images.layers.inflate import PIECE, inflated
from agent.images.layers.layer_unpack import extract_layer
from shoal.distribution.image_config import parse_config
from shoal.distribution.manifests import Index, parse_manifest, platforms_of
from shoal.errors import Exhausted, InvalidInput
from shoal.tar.budget import BudgetMeter, LayerBudget
from shoal.tar.tar_header import BLOCK, parse_header, parse_records
from shoal.tar.tar_reader import TarReader

BUDGET = LayerBudget(entries=2000, steps=20_000, steps_per_entry=0)
_ANY = "sha256:" + "0" * 64


def fuzz_tar_header(data: bytes) -> None:
    """One block with a right checksum: numbers within what files have, or refused."""
    block = bytearray(data[:BLOCK].ljust(BLOCK, b"\0"))
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with suppress(InvalidInput):
        header = parse_header(bytes(block))
        assert header is None or 0 <= header.size < 1 << 63


def fuzz_pax_records(data: bytes) -> None:
    """Records say no more than their bytes."""
    with suppress(InvalidInput):
        assert sum(len(key) + len(value) for key, value in parse_records(data)) <= len(data)


def fuzz_tar(data: bytes) -> None:
    """An archive with right checksums: what its entries say is bounded by what was read."""
    content = with_checksums(data)
    reader = TarReader(io.BytesIO(content).read, BudgetMeter(BUDGET))
    with suppress(InvalidInput):
        for entry in reader.entries():
            assert len(entry.header.name) + sum(map(len, entry.xattrs.values())) <= len(content)
            assert sum(map(len, reader.content())) == (entry.header.size if entry.header.kind in b"0\x007" else 0)


def fuzz_inflate(data: bytes) -> None:
    """No piece is larger than it may be, however the blob is compressed."""
    for blob in (data, b"\x1f\x8b\x08\0" + data, b"\x28\xb5\x2f\xfd" + data):
        left = 64
        with suppress(InvalidInput):
            for piece in inflated(io.BytesIO(blob)):
                assert len(piece) <= PIECE
                left -= 1
                if not left:
                    break


def fuzz_layer(data: bytes) -> None:
    """Unpacked on a real file system: nothing beside the layer's own directory is touched."""
    with tempfile.TemporaryDirectory() as scratch:
        outside = Path(scratch, "outside")
        for name in ("layer", "discarded", "outside"):
            Path(scratch, name).mkdir()
        (outside / "a").write_text("untouched")
        before = outside.stat(), (outside / "a").lstat()
        root_fd, discarded_fd = (os.open(Path(scratch, name), os.O_RDONLY) for name in ("layer", "discarded"))
        try:
            disk = DiskGuard(root_fd, reserve_bytes=0)
            with suppress(InvalidInput, Exhausted):
                blob = io.BytesIO(with_checksums(data))
                extract_layer(blob, root_fd, discarded_fd, diff_id=_ANY, budget=BUDGET, disk=disk)
        finally:
            os.close(root_fd)
            os.close(discarded_fd)
        after = outside.stat(), (outside / "a").lstat()
        assert [each.st_mtime_ns for each in after] == [each.st_mtime_ns for each in before]
        names = [str(path.relative_to(scratch)) for path in (*Path(scratch).iterdir(), *outside.iterdir())]
        assert sorted(names) == ["discarded", "layer", "outside", "outside/a"]


def fuzz_entries(data: bytes) -> None:
    """Entries that few bytes name, whose names meet: links, replaced directories, whiteouts, climbing out."""
    fuzz_layer(entries_of(data))


def fuzz_manifest(data: bytes) -> None:
    """A manifest or index, or refused."""
    with suppress(InvalidInput):
        found = parse_manifest(data)
        if isinstance(found, Index):
            platforms_of(found)
        else:
            assert all(0 <= layer.size < 1 << 63 for layer in found.layers)


def fuzz_image_config(data: bytes) -> None:
    """A configuration that the runtime can take, or refused."""
    with suppress(InvalidInput):
        found = image_config(parse_config(data))
        for text in (*found.entrypoint, *found.command, *found.env, found.working_dir, found.user):
            assert isinstance(text, str) and "\0" not in text
        if found.healthcheck is not None:
            found.healthcheck.SerializeToString()


def with_checksums(data: bytes) -> bytes:
    """Blocks that look like headers get a right checksum: those without would be refused first."""
    content = bytearray(data)
    for at in range(0, len(content) - BLOCK + 1, BLOCK):
        if content[at + 257 : at + 262] == b"ustar":
            content[at + 148 : at + 156] = b" " * 8
            content[at + 148 : at + 156] = b"%06o\0 " % sum(content[at : at + BLOCK])
    return bytes(content)


_NAMES = (
    b"a b a/b a/b/c b/a ./a /a a/../b .. ../outside/a .wh.a a/.wh.b .wh..wh..opq a/.wh..wh..opq / . ../../outside"
    b" a/a/a/a outside /outside/a"
).split()
_KINDS = b"0512534567gxLKS"
_FIELDS = struct.Struct("100s8s8s8s12s12s8s1s100s8s240s")


def entries_of(data: bytes) -> bytes:
    """An archive of an entry for each three bytes: its name, its kind, what it links to."""
    blocks = []
    for at in range(0, len(data) - 2, 3):
        name, link = _NAMES[data[at] % len(_NAMES)], _NAMES[data[at + 2] % len(_NAMES)]
        kind = _KINDS[data[at + 1] % len(_KINDS)]
        numbers = (b"0000755\0", b"0000000\0", b"0000000\0", b"00000000000\0", b"00000000000\0", b"")
        blocks.append(_FIELDS.pack(name, *numbers, bytes((kind,)), link, b"ustar\x0000", b""))
    return b"".join(blocks) + bytes(2 * BLOCK)
