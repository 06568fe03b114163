"""Images in files, read as one thing: an OCI image layout (a directory or a tar of it), or what `docker save` writes.

OCI image-spec, image-layout.md; Docker image specification v1.2, "Combined Image JSON + Filesystem Changeset Format".
"""

import json
import lzma
import tarfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from cli.images.json_bytes import digest_of_stream, to_bytes
from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import (
    MAX_MANIFEST_BYTES,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Index,
    parse_manifest,
)
from shoal.errors import InvalidInput, NotFound


class ArchiveFiles(ABC):
    """Named files of a directory or an archive."""

    def __init__(self, source: Path) -> None:
        self.source = source

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether there is such a file."""

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """A file to read and seek in. Raises NotFound."""

    def read(self, name: str) -> bytes:
        """A small file. Raises NotFound; InvalidInput where it is too large for what it is."""
        with self.open(name) as file:
            content = file.read(MAX_MANIFEST_BYTES + 1)
        if len(content) > MAX_MANIFEST_BYTES:
            raise InvalidInput(f"{self.source}: {name} is too large; the maximum is {MAX_MANIFEST_BYTES} bytes")
        return content

    def missing(self, name: str) -> NotFound:
        """The error for a file that is not there."""
        return NotFound(f"{self.source}: {name} is missing; the archive is incomplete")


class DirectoryFiles(ArchiveFiles):
    """Files of a directory."""

    def has(self, name: str) -> bool:
        return (self.source / name).is_file()

    def open(self, name: str) -> BinaryIO:
        try:
            return (self.source / name).open("rb")
        except OSError as error:
            raise self.missing(name) from error


class TarFiles(ArchiveFiles):
    """Files of a tar archive, which may be compressed; symbolic links inside it are followed."""

    def __init__(self, source: Path, archive: tarfile.TarFile) -> None:
        super().__init__(source)
        self._archive = archive
        self._members = {member.name.removeprefix("./"): member for member in archive.getmembers()}

    def has(self, name: str) -> bool:
        return name in self._members

    def open(self, name: str) -> BinaryIO:
        try:
            file = self._archive.extractfile(self._members[name])
        except KeyError as error:
            raise self.missing(name) from error
        if file is None:
            raise self.missing(name)
        return cast(BinaryIO, file)


class ImageSource:
    """Images in files, by digest as in a registry.

    Attributes:
        images: what `index.json` lists: manifests and indexes.
    """

    def __init__(
        self, files: ArchiveFiles, images: tuple[Descriptor, ...], names: Mapping[str, str], made: Mapping[str, bytes]
    ) -> None:
        self.images = images
        self._files = files
        self._names = names
        self._generated = made

    @property
    def source(self) -> Path:
        """Where it was read from."""
        return self._files.source

    def manifest(self, digest: str) -> bytes:
        """A manifest or an index. Raises NotFound; InvalidInput where it is not what its digest names."""
        content = self._generated.get(digest) or self._files.read(self._name(digest))
        if digest_of(content) != digest:
            raise InvalidInput(f"{self.source}: the content of {digest} is corrupt; recreate the archive")
        return content

    def open_blob(self, digest: str) -> BinaryIO:
        """A configuration or a layer. Raises NotFound."""
        return self._files.open(self._name(digest))

    def choose(self, tag: str) -> Descriptor:
        """The one image in it, or the one of that tag.

        Raises:
            NotFound: none, or several of which none has the tag.
        """
        named = [each for each in self.images if each.name in (tag, "") or each.name.endswith(f":{tag}")]
        if len(self.images) == 1:
            return self.images[0]
        if len(named) == 1:
            return named[0]
        names = ", ".join(sorted(each.name or each.digest for each in self.images)) or "none"
        raise NotFound(f"{self.source}: no unique image for tag {tag}; found: {names}")

    def _name(self, digest: str) -> str:
        return self._names.get(digest) or "blobs/" + digest.replace(":", "/", 1)


@contextmanager
def open_source(path: Path) -> Iterator[ImageSource]:
    """The images in a directory or an archive.

    Raises:
        NotFound: no such path. InvalidInput: it is no image.
    """
    with ExitStack() as stack:
        yield _source(_files(path, stack))


def _files(path: Path, stack: ExitStack) -> ArchiveFiles:
    if path.is_dir():
        return DirectoryFiles(path)
    try:
        return TarFiles(path, stack.enter_context(tarfile.open(path, "r:*")))
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such file or directory") from error
    except (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError) as error:
        # What tarfile says is a line for each compression that it tried.
        why = error.strerror if isinstance(error, OSError) else "unknown archive format"
        raise InvalidInput(f"{path}: neither an OCI layout directory nor a tar archive of an image: {why}") from error


def _source(files: ArchiveFiles) -> ImageSource:
    if files.has("index.json"):
        index = parse_manifest(files.read("index.json"))
        if not isinstance(index, Index):
            raise InvalidInput(f"{files.source}: index.json lists no manifests")
        return ImageSource(files, index.manifests, {}, {})
    if files.has("manifest.json"):
        return _docker_source(files)
    raise InvalidInput(f"{files.source}: has neither index.json (OCI layout) nor manifest.json (docker save)")


def _docker_source(files: ArchiveFiles) -> ImageSource:
    """Gives a docker archive the manifests that it does not have."""
    images: list[Descriptor] = []
    names: dict[str, str] = {}
    made: dict[str, bytes] = {}
    try:
        for image in json.loads(files.read("manifest.json")):
            config, layers = str(image["Config"]), [str(each) for each in image["Layers"]]
            described = [_describe(files, name, names) for name in layers]
            config_descriptor = _describe(files, config, names, OCI_CONFIG)
            content = to_bytes(
                {
                    "schemaVersion": 2,
                    "mediaType": OCI_MANIFEST,
                    "config": config_descriptor.to_json(),
                    "layers": [each.to_json() for each in described],
                }
            )
            digest = digest_of(content)
            made[digest] = content
            tags = [str(tag) for tag in image.get("RepoTags") or [""]]
            images += [Descriptor(OCI_MANIFEST, digest, len(content), name=tag) for tag in tags]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{files.source}: manifest.json is invalid: {error!r}") from error
    return ImageSource(files, tuple(images), names, made)


def _describe(files: ArchiveFiles, name: str, names: dict[str, str], media_type: str = "") -> Descriptor:
    with files.open(name) as file:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        digest, size = digest_of_stream(file)
    names[digest] = name
    return Descriptor(media_type or (OCI_LAYER_GZIP if compressed else OCI_LAYER), digest, size)
