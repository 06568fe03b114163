"""Images in files, read as one thing: an OCI image layout (a directory or a tar of it), or what `docker save` writes.

OCI image-spec, image-layout.md; Docker image specification v1.2, "Combined Image JSON + Filesystem Changeset Format".
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import (
    MAX_LAYERS,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Index,
    parse_manifest,
)
from shoal.errors import InvalidInput, NotFound
from shoal.images.archive_files import ArchiveFiles, DirectoryFiles, TarFiles
from shoal.images.json_bytes import digest_of_stream, to_bytes
from shoal.images.spool import SpoolLimits, spooled, uncompressed

_MAX_IMAGES = 1000
_ZSTD = b"\x28\xb5\x2f\xfd"
_GZIP = b"\x1f\x8b"


class ArchivedImages:
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
def open_source(path: Path, limits: SpoolLimits | None = None) -> Iterator[ArchivedImages]:
    """The images in a directory or an archive, which may be compressed (gzip, zstd, bzip2, xz).

    Raises:
        NotFound: no such path. InvalidInput: it is no image. Exhausted: it does not fit within the limits.
    """
    with ExitStack() as stack:
        if path.is_dir():
            yield _source(DirectoryFiles(path))
        else:
            yield _source(TarFiles(path, stack.enter_context(uncompressed(path, limits))))


@contextmanager
def open_stream(stream: BinaryIO, name: str, limits: SpoolLimits | None = None) -> Iterator[ArchivedImages]:
    """The images in an archive that comes as a stream. Raises as `open_source` does."""
    with spooled(stream, name, limits) as file:
        yield _source(TarFiles(Path(name), file))


def _source(files: ArchiveFiles) -> ArchivedImages:
    if files.has("index.json"):
        index = parse_manifest(files.read("index.json"))
        if not isinstance(index, Index):
            raise InvalidInput(f"{files.source}: index.json lists no manifests")
        return ArchivedImages(files, index.manifests, {}, {})
    if files.has("manifest.json"):
        return _docker_source(files)
    raise InvalidInput(f"{files.source}: has neither index.json (OCI layout) nor manifest.json (docker save)")


def _docker_source(files: ArchiveFiles) -> ArchivedImages:
    """Gives a docker archive the manifests that it does not have."""
    described = _DescribedFiles(files)
    images: list[Descriptor] = []
    made: dict[str, bytes] = {}
    try:
        listed = json.loads(files.read("manifest.json"))
        json.dumps(listed, ensure_ascii=False).encode()  # no text that cannot be written (RFC 8259, section 8.2)
        if len(listed) > _MAX_IMAGES:
            raise InvalidInput(f"{files.source}: more than {_MAX_IMAGES} images")
        for image in listed:
            content = _manifest_of(described, str(image["Config"]), [str(each) for each in image["Layers"]])
            digest = digest_of(content)
            made[digest] = content
            tags = [str(tag) for tag in image.get("RepoTags") or [""]]
            images += [Descriptor(OCI_MANIFEST, digest, len(content), name=tag) for tag in tags]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInput(f"{files.source}: manifest.json is invalid: {type(error).__name__}") from error
    return ArchivedImages(files, tuple(images), described.names, made)


def _manifest_of(files: "_DescribedFiles", config: str, layers: list[str]) -> bytes:
    if len(layers) > MAX_LAYERS:
        raise InvalidInput(f"{files.source}: an image has {len(layers)} layers; the maximum is {MAX_LAYERS}")
    return to_bytes(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": files.describe(config, OCI_CONFIG).to_json(),
            "layers": [files.describe(name).to_json() for name in layers],
        }
    )


class _DescribedFiles:
    """Descriptors of files, each read once; `names` has the file of each digest."""

    def __init__(self, files: ArchiveFiles) -> None:
        self.source = files.source
        self.names: dict[str, str] = {}
        self._files = files
        self._found: dict[tuple[str, str], Descriptor] = {}

    def describe(self, name: str, media_type: str = "") -> Descriptor:
        """Raises NotFound."""
        if (name, media_type) not in self._found:
            with self._files.open(name) as file:
                beginning = file.read(4)
                file.seek(0)
                digest, size = digest_of_stream(file)
            self.names[digest] = name
            self._found[name, media_type] = Descriptor(media_type or _layer_type(beginning), digest, size)
        return self._found[name, media_type]


def _layer_type(beginning: bytes) -> str:
    if beginning.startswith(_GZIP):
        return OCI_LAYER_GZIP
    return f"{OCI_LAYER}+zstd" if beginning.startswith(_ZSTD) else OCI_LAYER
