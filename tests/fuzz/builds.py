"""What builds are sent and copy: lists of contexts and their contents, paths and modes of COPY, caches in images."""

import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from google.protobuf.message import DecodeError

from agent.archives.disk_budget import DiskBudget
from agent.archives.known_content import KnownContent
from agent.archives.tar_extract import ExtractOptions, extract
from agent.build.program.caching.cached_steps import CachedStep, read_cache_field
from agent.build.program.caching.content_digest import ContentDigest
from agent.build.program.copying.copy_metadata import CopyOwner, changed_mode
from agent.build.program.copying.copy_sources import find_sources, walk
from agent.build.program.copying.copy_target import CopyTarget
from agent.build.program.sources.listed_context import ListedContext
from agent.build.program.workspace import Workspace
from shoal.api.v1.builds_pb2 import ContextContent, ContextEntry, ContextListing
from shoal.errors import Exhausted, InvalidInput, NotFound, PermissionDenied
from shoal.spec_parsers.builds.ssh_messages import may_send
from shoal.tar.tar_header import DIRECTORY, HARD_LINK, REGULAR, SYMLINK
from shoal.tar.ustar_header import ustar_header

_FILE, _DIRECTORY, _LINK = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777
_ALL = [
    ContextEntry(path=b"d", mode=_DIRECTORY, mtime=5),
    ContextEntry(path=b"d/f", mode=_FILE, size=3),
    ContextEntry(path=b"d/h", mode=_FILE, hard_link=True, link=b"d/f"),
    ContextEntry(path=b"l", mode=_LINK, link=b"../../outside"),
    ContextEntry(path=b"p", mode=stat.S_IFIFO | 0o600),
]
_HEADERS = [
    ustar_header(b"d/", DIRECTORY, mode=0o755, size=0, mtime=1),
    ustar_header(b"d/f", REGULAR, mode=0o644, size=0, mtime=1),
    ustar_header(b"d/h", HARD_LINK, mode=0o644, size=0, mtime=1, link=b"d/f"),
    ustar_header(b"d/f", SYMLINK, mode=0o777, size=0, mtime=1, link=b"../.."),
    ustar_header(b"d/f/x", REGULAR, mode=0o644, size=0, mtime=1),
]
EXAMPLES = (
    b"".join(each for each in _HEADERS if each is not None) + bytes(1024),
    ContextListing(entries=_ALL).SerializeToString(),
    ContextListing(entries=[_ALL[3], ContextEntry(path=b"l/x", mode=_FILE)]).SerializeToString(),
    b"d/*.[a-z]\n**/f\n./d/./f\n../../outside",
    b"u=rwX,go-w\n4755\n+t",
    b'{"shoal.build.cache": {"version": 1, "steps": [{"key": "a", "diff_id": "sha256:0"}]}}',
)


@contextmanager
def _directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        (root / "outside").write_text("outside")
        (root / "work").mkdir()
        yield root
        assert (root / "outside").read_text() == "outside"
        assert {each.name for each in root.iterdir()} <= {"outside", "work", "contexts"}


def fuzz_listed_context(data: bytes) -> None:
    """Two lists one after the other, the second one of the rest of the bytes: beneath their directory, or refused."""
    with _directory() as root:
        workspace = Workspace(root / "work", 0)
        for part in (data, data[: len(data) // 2]):
            try:
                entries = list(ContextListing.FromString(part).entries)
            except DecodeError:
                continue
            _receive(root, workspace, entries)


def _receive(root: Path, workspace: Workspace, entries: list[ContextEntry]) -> None:
    context = ListedContext("", "k", root / "contexts", workspace, max_bytes=1 << 16)
    try:
        context.add(entries)
        request = context.compare()
        if not request.final:
            context.add_digests([bytes(32)] * len(request.digests))
            request = context.compare_again()
        context.write([ContextContent(number=each, data=b"abc", complete=True) for each in request.contents])
        tree = context.finish()
    except (InvalidInput, Exhausted):
        return
    finally:
        context.close()
    found = {os.fsencode(each.relative_to(tree.directory)) for each in tree.directory.rglob("*")}
    assert found == {each.path for each in entries}
    descriptor = os.open(tree.directory, os.O_PATH)
    try:
        digests = [ContentDigest(known=known) for known in (tree.known, {})]
        for digest in digests:
            for each in walk(descriptor, "", None):
                digest.add(each)
        assert digests[0].hexdigest() == digests[1].hexdigest()
    finally:
        os.close(descriptor)


def fuzz_archive_context(data: bytes) -> None:
    """A context as an archive: what is known of its files is what reading them says."""
    with _directory() as root:
        at = 0

        def read(size: int) -> bytes:
            nonlocal at
            piece = data[at : at + size]
            at += len(piece)
            return piece

        (root / "work" / "c").mkdir()
        descriptor = os.open(root / "work" / "c", os.O_PATH)
        known: dict[int, KnownContent] = {}
        try:
            options = ExtractOptions(owner=(os.getuid(), os.getgid()), known=known)
            extract(descriptor, "/", read, options, DiskBudget(descriptor, reserve_bytes=0))
            digests = [ContentDigest(known=each) for each in (known, {})]
            for digest in digests:
                for found in walk(descriptor, "", None):
                    digest.add(found)
            assert digests[0].hexdigest() == digests[1].hexdigest()
        except (InvalidInput, PermissionDenied, Exhausted, NotFound):
            return
        finally:
            os.close(descriptor)


def fuzz_copy_paths(data: bytes) -> None:
    """Paths of COPY, and what they find copied: nothing of outside, and nothing to there."""
    with _directory() as root:
        source, target = root / "work" / "source", root / "work" / "target"
        (source / "d" / "e").mkdir(parents=True)
        target.mkdir()
        for name in ("d/f", "d/e/g.txt", "[x]"):
            (source / name).write_text(name)
        (source / "out").symlink_to("../../outside")
        (target / "out").symlink_to("../../outside")
        one, two = (os.open(each, os.O_PATH) for each in (source, target))
        placed = CopyTarget(two, CopyOwner(os.getuid(), os.getgid()), "", DiskBudget(two, reserve_bytes=0))
        try:
            paths = data[:300].decode("utf-8", "surrogateescape").replace("\0", "").split("\n")
            for each in find_sources(one, paths, parents=True):
                for found in walk(one, each.path, None):
                    placed.place(found, f"/{each.name}/{found.path}".rstrip("/"), overwrites=True)
            placed.finish()
        except (InvalidInput, NotFound, Exhausted):
            return
        finally:
            placed.close()
            os.close(one)
            os.close(two)
        files = [each for each in target.rglob("*") if each.is_file() and not each.is_symlink()]
        assert all(each.read_text() != "outside" for each in files)


def fuzz_modes(data: bytes) -> None:
    """`--chmod`: permission bits, or refused."""
    for text in data[:200].decode("utf-8", "replace").split("\n"):
        try:
            mode = changed_mode(_DIRECTORY, text)
        except (InvalidInput, ValueError):
            continue
        assert mode >= 0 and (text.isdecimal() or mode <= 0o7777)


def fuzz_cached_steps(data: bytes) -> None:
    """The configuration of an image that tells keys."""
    try:
        config = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(config, dict):
        assert all(isinstance(each, CachedStep) for each in read_cache_field(config))


def fuzz_ssh_messages(data: bytes) -> None:
    """Nothing but lists of keys and signatures passes."""
    assert may_send(data) == (data[:1] in (b"\x0b", b"\x0d") and len(data) <= 256 << 10)
