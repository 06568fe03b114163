"""Manifests, indexes and platforms: parsed with their bounds from JSON of the OCI or the Docker schema 2 media types.

OCI image-spec manifest.md, image-index.md, descriptor.md; Docker "Image Manifest Version 2, Schema 2".
"""

import platform as host
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shoal.distribution.digests import is_digest
from shoal.distribution.untrusted_json import object_of, parse_object, text_of
from shoal.errors import InvalidInput, NotFound

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"

MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEX_TYPES = (OCI_INDEX, DOCKER_INDEX)

MAX_MANIFEST_BYTES = 4 << 20
"""The distribution spec asks registries to take manifests of at least this size."""

MAX_CONTENT_BYTES = (1 << 63) - 1
"""The size of a descriptor is an int64 (OCI image-spec, descriptor.md)."""

MAX_LAYERS = 500
"""The kernel's overlayfs takes no more lower directories."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm", "i686": "386"}
REFERENCE_ANNOTATION = "org.opencontainers.image.ref.name"
"""Of an entry of an OCI layout's index: a tag, or a name with its tag."""

NAME_ANNOTATION = "io.containerd.image.name"
"""The same with the whole name, as `docker save` and containerd write it."""
_VARIANT_DIGITS = 4
_ARM_VARIANTS = {"armv7l": "v7", "armv6l": "v6"}


@dataclass(frozen=True)
class Platform:
    """What an image runs on, in the names of Go: `linux/arm64/v8`."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True)
class Descriptor:
    """Names a piece of content; `size` in bytes."""

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    name: str = ""

    def to_json(self) -> dict[str, object]:
        """As it stands in a manifest."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True)
class Manifest:
    """One image for one platform; layers lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True)
class Index:
    """One manifest for each of several platforms."""

    manifests: tuple[Descriptor, ...]


def host_platform() -> Platform:
    """The platform of this machine."""
    machine = host.machine()
    return Platform("linux", _ARCHITECTURES.get(machine, machine), _ARM_VARIANTS.get(machine, ""))


def parse_manifest(content: bytes, media_type: str = "") -> Manifest | Index:
    """A manifest or an index from its bytes.

    Args:
        media_type: what the registry said it is; the document's own word comes first.
    Raises:
        InvalidInput: not JSON, not of these kinds, a descriptor that is broken, or more layers than can be mounted.
    """
    document = _object(content)
    kind = text_of(document, "mediaType", "the manifest") or media_type
    if kind in INDEX_TYPES or (kind not in MANIFEST_TYPES and "manifests" in document):
        return Index(_descriptors(document.get("manifests"), "manifests"))
    if document.get("schemaVersion") == 1:
        raise InvalidInput("Docker schema 1 manifests are not supported; push the image again")
    if "config" not in document:
        raise InvalidInput(f"media type {kind or 'unknown'} is neither an image manifest nor an image index")
    layers = _descriptors(document.get("layers"), "layers")
    if not layers or len(layers) > MAX_LAYERS:
        raise InvalidInput(f"the manifest has {len(layers)} layers; 1 to {MAX_LAYERS} are supported")
    return Manifest(_descriptor(document["config"], "config"), layers)


def choose_manifest(index: Index, required: Platform) -> Descriptor:
    """The manifest that fits a platform best: its own variant first, then the nearest older one, then one without.

    Raises:
        NotFound: none fits; the text lists those that exist.
    """
    fitting = [each for each in index.manifests if each.platform and _fits(each.platform, required)]
    if not fitting:
        offered = ", ".join(sorted({str(each.platform) for each in index.manifests if _is_real(each)}))
        raise NotFound(f"no manifest for platform {required}; available: {offered or 'none'}")
    return max(fitting, key=lambda each: _variant(each.platform))


def platforms_of(index: Index) -> tuple[Platform, ...]:
    """The platforms of an index in its order; attestations and the like left out."""
    return tuple(each.platform for each in index.manifests if each.platform and _is_real(each))


def _is_real(descriptor: Descriptor) -> bool:
    return descriptor.platform is not None and descriptor.platform.os != "unknown"


def _fits(offered: Platform, required: Platform) -> bool:
    same = (offered.os, offered.architecture) == (required.os, required.architecture)
    return same and _variant(offered) <= _variant(required)


def _variant(platform: Platform | None) -> int:
    """The variant as a number; where it is left out, the field's defaults: arm is v7, arm64 v8, amd64 v1."""
    if platform is None:
        return 0
    digits = platform.variant.removeprefix("v")
    default = {"arm": 7, "arm64": 8, "amd64": 1}.get(platform.architecture, 0)
    return int(digits) if digits.isdecimal() and len(digits) <= _VARIANT_DIGITS else default


def _object(content: bytes) -> Mapping[str, object]:
    if len(content) > MAX_MANIFEST_BYTES:
        raise InvalidInput(f"the manifest has {len(content)} bytes; the maximum is {MAX_MANIFEST_BYTES}")
    return parse_object(content, "the manifest")


def _descriptors(value: object, where: str) -> tuple[Descriptor, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise InvalidInput(f"{where} of the manifest is not a list")
    return tuple(_descriptor(each, f"{where}[{number}]") for number, each in enumerate(value))


def _descriptor(value: object, where: str) -> Descriptor:
    if not isinstance(value, dict):
        raise InvalidInput(f"{where} of the manifest is not an object")
    digest, size = value.get("digest"), value.get("size")
    if not isinstance(digest, str) or not is_digest(digest):
        raise InvalidInput(f"{where}.digest of the manifest is not a sha256 or sha512 digest")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_CONTENT_BYTES:
        raise InvalidInput(f"{where}.size of the manifest is not a size in bytes")
    what = f"{where} of the manifest"
    annotations = object_of(value, "annotations", what)
    name = annotations.get(NAME_ANNOTATION) or annotations.get(REFERENCE_ANNOTATION, "")
    if not isinstance(name, str):
        raise InvalidInput(f"{what} has an annotation {REFERENCE_ANNOTATION} that is not a string")
    return Descriptor(text_of(value, "mediaType", what), digest, size, _platform(value, what), name)


def _platform(descriptor: Mapping[str, object], what: str) -> Platform | None:
    platform = object_of(descriptor, "platform", what)
    if not platform:
        return None
    return Platform(*(text_of(platform, key, f"{what}'s platform") for key in ("os", "architecture", "variant")))
