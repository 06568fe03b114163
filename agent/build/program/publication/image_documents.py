"""The configuration and the manifest of a built image. Pure. OCI image-spec; Docker image manifest schema 2."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import (
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
)
from shoal.images.json_bytes import to_bytes

DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_TO_DOCKER = {OCI_LAYER_GZIP: DOCKER_LAYER_GZIP, DOCKER_LAYER_GZIP: DOCKER_LAYER_GZIP}
_TO_OCI = {
    DOCKER_LAYER_GZIP: OCI_LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar": OCI_LAYER,
}


@dataclass(frozen=True)
class ImageDocuments:
    """Attributes: media_type: of the manifest."""

    config: bytes
    manifest: bytes
    media_type: str
    config_type: str

    @property
    def config_blob(self) -> Descriptor:
        return Descriptor(self.config_type, digest_of(self.config), len(self.config))

    @property
    def digest(self) -> str:
        """Of the manifest: it names the image."""
        return digest_of(self.manifest)


def image_documents(config: Mapping[str, Any], layers: Sequence[Descriptor], *, oci: bool) -> ImageDocuments:
    """The documents of an image; of OCI's types also where Docker's have none for a layer."""
    content = to_bytes(config)
    oci = oci or any(each.media_type not in _TO_DOCKER for each in layers)
    types = _TO_OCI if oci else _TO_DOCKER
    config_type, media_type = (OCI_CONFIG, OCI_MANIFEST) if oci else (DOCKER_CONFIG, DOCKER_MANIFEST)
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": Descriptor(config_type, digest_of(content), len(content)).to_json(),
        "layers": [
            Descriptor(types.get(each.media_type, each.media_type), each.digest, each.size).to_json() for each in layers
        ],
    }
    return ImageDocuments(content, to_bytes(manifest), media_type, config_type)


def time_text(milliseconds: int) -> str:
    """RFC 3339 in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat().replace("+00:00", "Z")
