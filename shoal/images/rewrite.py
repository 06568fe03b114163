"""Replace descriptors in manifests and indexes; everything else is kept. Pure."""

import json
from collections.abc import Mapping

from shoal.distribution.manifests import Descriptor
from shoal.images.json_bytes import to_bytes

_REFERENCE = "vnd.docker.reference.digest"
"""Annotation of an attestation's entry in an index: the manifest that it is about."""


def with_replaced(content: bytes, replaced: Mapping[str, Descriptor]) -> bytes:
    """A document whose `layers` or `manifests` name what takes the place of others, by digest; the same bytes where
    none is named.

    Args:
        content: of a manifest or an index that was parsed without a fault.
    """
    document = json.loads(content)
    entries = [*(document.get("layers") or ()), *(document.get("manifests") or ())]
    changes = [_replace(entry, replaced) for entry in entries]
    return to_bytes(document) if any(changes) else content


def _replace(entry: dict[str, object], replaced: Mapping[str, Descriptor]) -> bool:
    annotations = entry.get("annotations")
    about = replaced.get(str(annotations.get(_REFERENCE))) if isinstance(annotations, dict) else None
    if about is not None and isinstance(annotations, dict):
        annotations[_REFERENCE] = about.digest
    descriptor = replaced.get(str(entry.get("digest")))
    if descriptor is not None:
        entry |= descriptor.to_json()
    return about is not None or descriptor is not None
