"""The files and settings of an image, unpacked from an archive of `docker save`, and what differs between two of them.

Not by this project's unpacker: by the rules of the OCI image-spec (layer.md) alone, with Python's `tarfile`.
"""

import hashlib
import io
import json
import posixpath
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
SETTINGS = (
    "Cmd", "Entrypoint", "Env", "ExposedPorts", "Healthcheck", "Labels", "OnBuild", "Shell", "StopSignal", "User",
    "Volumes", "WorkingDir",
)  # fmt: skip
_ZSTD = b"\x28\xb5\x2f\xfd"
_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "link",
    tarfile.CHRTYPE: "character device",
    tarfile.BLKTYPE: "block device",
    tarfile.FIFOTYPE: "fifo",
}


@dataclass(frozen=True)
class TreeFile:
    """One path.

    Attributes:
        content: of a file; of a link its target; of a device its numbers.
        names: of a file all paths that are the same one.
    """

    kind: str
    mode: int
    owner: str
    content: bytes = b""
    attributes: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()

    def described(self) -> str:
        """In one line: "file 644 0:0 text", "directory 755 0:0", "link target"."""
        if self.kind == "link":
            return f"link {self.content.decode(errors='replace')}"
        text = self.content.decode(errors="replace") if len(self.content) < 80 else _digest(self.content)
        shown = [self.kind, f"{self.mode:o}", self.owner, *([text] if self.kind != "directory" else [])]
        return " ".join([*shown, *(f"{key}={value}" for key, value in sorted(self.attributes.items()))])


@dataclass(frozen=True)
class ImageTree:
    """Attributes: files: by path without a leading slash. settings: of the configuration, without empty ones."""

    files: Mapping[str, TreeFile]
    settings: Mapping[str, Any]


def read_image(archive: BinaryIO) -> ImageTree:
    """The one image of an archive. Raises ValueError: a layer is none."""
    with tarfile.open(fileobj=archive) as tar:
        (image,) = json.loads(_member(tar, "manifest.json"))
        config = json.loads(_member(tar, image["Config"]))
        files: dict[str, TreeFile] = {}
        for name in image["Layers"]:
            _apply(files, _member(tar, name))
    settings = {key: value for key in SETTINGS if (value := config["config"].get(key))}
    return ImageTree(_with_names(files), settings)


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    found = tar.extractfile(name)
    if found is None:
        raise ValueError(f"{name} is no file")
    return found.read()


def _apply(files: dict[str, TreeFile], layer: bytes) -> None:
    """One layer on those below it: first what it takes away of them, then what it has."""
    layer = zstd.decompress(layer) if layer.startswith(_ZSTD) else layer
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        members = [(posixpath.normpath(f"/{each.name}").lstrip("/"), each) for each in tar]
        for path, _ in members:
            directory, _, base = path.rpartition("/")
            if base == OPAQUE:
                _remove(files, directory, itself=False)
            elif base.startswith(WHITEOUT):
                _remove(files, posixpath.join(directory, base.removeprefix(WHITEOUT)), itself=True)
        for path, info in members:
            if path and not posixpath.basename(path).startswith(WHITEOUT):
                _place(files, path, info, tar)


def _place(files: dict[str, TreeFile], path: str, info: tarfile.TarInfo, tar: tarfile.TarFile) -> None:
    if not info.isdir():
        _remove(files, path, itself=True)
    elif path in files and files[path].kind != "directory":
        del files[path]
    if info.islnk():
        first = files[posixpath.normpath(f"/{info.linkname}").lstrip("/")]
        names = tuple(sorted({*first.names, path}))
        for name in names:
            files[name] = TreeFile(first.kind, first.mode, first.owner, first.content, first.attributes, names)
        return
    attributes = {
        key.removeprefix("SCHILY.xattr."): value.encode("utf-8", "surrogateescape").hex()
        for key, value in info.pax_headers.items()
        if key.startswith("SCHILY.xattr.")
    }
    owner = f"{info.uid}:{info.gid}"
    files[path] = TreeFile(_KINDS[info.type], info.mode & 0o7777, owner, _content(tar, info), attributes, (path,))


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    if info.issym():
        return info.linkname.encode("utf-8", "surrogateescape")
    if info.isdev() and not info.isfifo():
        return f"{info.devmajor}:{info.devminor}".encode()
    found = tar.extractfile(info) if info.isreg() else None
    return b"" if found is None else found.read()


def _remove(files: dict[str, TreeFile], path: str, *, itself: bool) -> None:
    if itself:
        files.pop(path, None)
    for name in [each for each in files if each.startswith(f"{path}/" if path else "")]:
        del files[name]


def _with_names(files: Mapping[str, TreeFile]) -> dict[str, TreeFile]:
    """A name that was removed or replaced is none of the others any more."""
    found = {}
    for path, each in files.items():
        names = tuple(name for name in each.names if name in files and files[name].names == each.names)
        found[path] = TreeFile(each.kind, each.mode, each.owner, each.content, each.attributes, names)
    return found


def differences(one: ImageTree, two: ImageTree) -> Iterator[str]:
    """What the second has otherwise, one line for each; no times."""
    for path in sorted({*one.files, *two.files}):
        first, second = one.files.get(path), two.files.get(path)
        if first is None or second is None:
            yield f"{path}: {_shown(first)} / {_shown(second)}"
        elif first.described() != second.described() or first.content != second.content:
            yield f"{path}: {first.described()} / {second.described()}"
        elif len(first.names) + len(second.names) > 2 and first.names != second.names:
            yield f"{path}: is also {first.names} / {second.names}"
    for key in SETTINGS:
        if one.settings.get(key) != two.settings.get(key):
            yield f"{key}: {one.settings.get(key)} / {two.settings.get(key)}"


def _shown(found: TreeFile | None) -> str:
    return "nothing" if found is None else found.described()


def _digest(content: bytes) -> str:
    return f"{len(content)} bytes, sha256:{hashlib.sha256(content).hexdigest()[:12]}"
