"""The documents of an image that is another one with a layer on it (`commit`). Pure.

OCI image-spec, config.md and manifest.md; moby's `image.NewChildImage`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shoal.distribution.digests import digest_of
from shoal.distribution.image_config import parse_config
from shoal.distribution.manifests import OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor
from shoal.errors import InvalidInput
from shoal.images.json_bytes import to_bytes

EMPTY_DIFF_ID = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
"""Of a tar without entries, 1024 zeros."""

_OCI_TYPES = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip": OCI_LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar": OCI_LAYER,
}


@dataclass(frozen=True)
class ImageBelow:
    """Manifest and configuration of the image below, as they are."""

    manifest: bytes
    config: bytes


@dataclass(frozen=True)
class CommittedLayer:
    """Attributes: blob: None where it changes nothing. diff_id: of the uncompressed tar."""

    blob: Descriptor | None
    diff_id: str


@dataclass(frozen=True)
class CommitNote:
    """What the history says of a commit.

    Attributes:
        created: RFC 3339.
        created_by: the command of the container.
    """

    created: str
    created_by: str = ""
    author: str = ""
    message: str = ""


@dataclass(frozen=True)
class CommittedImage:
    """The documents; `manifest_digest` names the image."""

    config: bytes
    manifest: bytes

    @property
    def config_blob(self) -> Descriptor:
        """As the manifest names it."""
        return Descriptor(OCI_CONFIG, digest_of(self.config), len(self.config))

    @property
    def manifest_digest(self) -> str:
        """Of the image."""
        return digest_of(self.manifest)


def committed_image(
    below: ImageBelow, layer: CommittedLayer, settings: Mapping[str, Any], note: CommitNote
) -> CommittedImage:
    """An image below with one more layer, or with other settings alone.

    Args:
        settings: the `config` object of the new configuration.
    Raises:
        InvalidInput: the image below is broken, or has layers that are elsewhere.
    """
    diff_ids = list(parse_config(below.config).diff_ids)
    document = json.loads(below.config)
    step = {"created": note.created, "created_by": note.created_by, "author": note.author, "comment": note.message}
    history = [*(document.get("history") or []), {key: value for key, value in step.items() if value}]
    layers = [_as_oci(each) for each in json.loads(below.manifest).get("layers") or []]
    if layer.blob is not None:
        diff_ids.append(layer.diff_id)
        layers.append(layer.blob.to_json())
    else:
        history[-1]["empty_layer"] = True
    for key in ("container", "container_config", "id", "parent", "docker_version"):
        document.pop(key, None)  # Docker's older ones, about what made the image below
    document |= {
        "created": note.created,
        "author": note.author,
        "config": dict(settings),
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    }
    if not note.author:
        del document["author"]
    config = to_bytes(document)
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor(OCI_CONFIG, digest_of(config), len(config)).to_json(),
        "layers": layers,
    }
    return CommittedImage(config, to_bytes(manifest))


def _as_oci(layer: Mapping[str, Any]) -> dict[str, Any]:
    """Docker's types have none for zstd, and a manifest has one kind."""
    kind = _OCI_TYPES.get(str(layer["mediaType"]), str(layer["mediaType"]))
    if not kind.startswith(OCI_LAYER):
        raise InvalidInput(f"the image below has a layer of type {kind[:100]}, which cannot be in the new image")
    return {"mediaType": kind, "digest": layer["digest"], "size": layer["size"]}
