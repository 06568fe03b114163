"""The fuzz targets of images, a bounded number of cases each; `tests/fuzz` has them for longer runs.

A case is bytes at random, or an honest archive, manifest or configuration with parts of it changed.
"""

import gzip
import io
import json
import tarfile
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.distribution.digests import digest_of
from shoal.tar.budget import BudgetMeter, LayerBudget
from shoal.tar.tar_reader import TarReader
from tests.fuzz import layers
from tests.hostile.layers.making import END, header, padded, pax, squeezed
from tests.integration.images.rig import directory, entry, symlink, tar_of

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
DIGEST = digest_of(b"")
ARCHIVE = tar_of(
    [directory("d"), entry("d/f", b"x" * 600, pax={"SCHILY.xattr.user.a": "b"}), symlink("l", "d"), entry("l/g", b"y")]
)
BLOCKS = [
    header(b"a", b"5"),
    header(b"a/b", b"2", link=b"/../a"),
    header(b"f", size=3) + padded(b"abc"),
    header(b"a", b"1", link=b"f"),
    pax((b"path", b"a/b/c"), (b"size", b"7"), (b"mtime", b"-1.5"), (b"uid", b"5")),
    pax((b"SCHILY.xattr.user.a", b"b"), kind=b"g"),
    header(b"L", b"L", size=2) + padded(b"a\0"),
    header(b"n", b"3", device=(1, 3)),
    END,
]
CONFIG = {
    "os": "linux",
    "architecture": "amd64",
    "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
    "config": {
        "Entrypoint": ["a"], "Cmd": ["b"], "Env": ["A=b"], "WorkingDir": "/", "User": "u", "StopSignal": "SIGTERM",
        "Labels": {"a": "b"}, "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/v": {}},
        "Healthcheck": {"Test": ["CMD", "x"], "Interval": 1, "Timeout": 1, "Retries": 1, "StartPeriod": 1},
    },
}  # fmt: skip
DESCRIPTOR = {"mediaType": "m", "digest": DIGEST, "size": 1, "platform": {"os": "linux"}, "annotations": {"a": "b"}}
MANIFEST = {"schemaVersion": 2, "mediaType": "m", "config": DESCRIPTOR, "layers": [DESCRIPTOR, DESCRIPTOR]}
INDEX = {"schemaVersion": 2, "manifests": [DESCRIPTOR, DESCRIPTOR]}

_json = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.just(1 << 70), st.floats(), st.text(max_size=5), st.just("a\0b")
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=4,
)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """With a few bytes of it replaced."""
    found = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content) - 1))
        found[at : at + 8] = draw(st.binary(max_size=8))
    return bytes(found)


@st.composite
def altered(draw: st.DrawFn, document: object) -> bytes:
    """JSON with one of its values, at any depth, replaced by any other."""
    found = json.loads(json.dumps(document))
    holder, key = found, draw(st.sampled_from(sorted(found)))
    while isinstance(holder[key], dict | list) and holder[key] and draw(st.booleans()):
        holder = holder[key]
        key = draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
    holder[key] = draw(_json)
    return json.dumps(found).encode()


_archives = st.one_of(
    st.lists(st.sampled_from(BLOCKS), max_size=8).map(b"".join), damaged(ARCHIVE), damaged(b"".join(BLOCKS))
)
_documents = st.one_of(altered(MANIFEST), altered(INDEX), altered(CONFIG), st.binary(max_size=200))

CASES: list[tuple[Callable[[bytes], None], st.SearchStrategy[bytes]]] = [
    (layers.fuzz_tar_header, st.one_of(st.binary(max_size=512), damaged(header(b"a", size=5)))),
    (layers.fuzz_pax_records, st.one_of(st.binary(max_size=100), damaged(b"12 path=abc\n10 a=bcde\n"))),
    (layers.fuzz_tar, st.one_of(_archives, st.binary(max_size=1024))),
    (layers.fuzz_inflate, st.one_of(damaged(gzip.compress(ARCHIVE)), damaged(squeezed(BLOCKS)), st.binary())),
    (layers.fuzz_layer, _archives),
    (layers.fuzz_entries, st.binary(max_size=60)),
    (layers.fuzz_manifest, _documents),
    (layers.fuzz_image_config, _documents),
]


@pytest.mark.parametrize(("target", "cases"), CASES, ids=[target.__name__ for target, _ in CASES])
def test_nothing_surprises(target: Callable[[bytes], None], cases: st.SearchStrategy[bytes]) -> None:
    @QUICK
    @given(cases)
    def run(data: bytes) -> None:
        target(data)

    run()


_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=130)
_numbers = st.integers(0, 1 << 40)


@QUICK
@given(
    st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.lists(st.tuples(_texts, _texts, _numbers, _numbers, st.binary(max_size=1200)), min_size=1, max_size=4),
)
def test_archives_are_read_as_python_reads_them(form: int, files: list[tuple[str, str, int, int, bytes]]) -> None:
    """In all three formats, with names and numbers of any length."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, link, uid, mtime, content in files:
            for kind in (tarfile.REGTYPE, tarfile.SYMTYPE):
                info = tarfile.TarInfo(name)
                info.type, info.uid, info.mtime, info.linkname = kind, uid, mtime, link
                info.size = len(content) if kind == tarfile.REGTYPE else 0
                try:
                    tar.addfile(info, io.BytesIO(content))
                except ValueError:  # too long for this format
                    continue
    buffer.seek(0)
    reader = TarReader(io.BytesIO(buffer.getvalue()).read, BudgetMeter(LayerBudget()))
    found = [
        (entry.header.name, entry.header.kind, entry.header.uid, entry.header.mtime_ns, b"".join(reader.content()))
        for entry in reader.entries()
    ]
    with tarfile.open(fileobj=buffer, errors="surrogateescape") as tar:
        expected = []
        for info in tar:
            file = tar.extractfile(info) if info.isreg() else None
            content = file.read() if file else b""
            expected.append(
                (info.name.encode(errors="surrogateescape"), info.type, info.uid, int(info.mtime) * 10**9, content)
            )
    assert found == expected
