"""The index above images of several platforms. Pure. OCI image-spec, image-index.md; Docker's manifest list."""

from collections.abc import Sequence

from shoal.distribution.manifests import DOCKER_INDEX, OCI_INDEX, Platform
from shoal.distribution.registry_client import RawManifest
from shoal.errors import InvalidInput
from shoal.images.image_contents import media_type_of
from shoal.images.json_bytes import to_bytes


def image_index(parts: Sequence[tuple[RawManifest, Platform]], *, oci: bool) -> tuple[str, bytes]:
    """Media type and bytes of an index.

    Args:
        parts: manifests with their platforms; one for each.
    Raises:
        InvalidInput: two are for the same platform.
    """
    platforms = [str(platform) for _, platform in parts]
    if twice := {each for each in platforms if platforms.count(each) > 1}:
        raise InvalidInput(f"several images are for platform {min(twice)}")
    media_type = OCI_INDEX if oci else DOCKER_INDEX
    manifests = [
        {
            "mediaType": media_type_of(raw),
            "digest": raw.digest,
            "size": len(raw.content),
            "platform": _platform(platform),
        }
        for raw, platform in parts
    ]
    return media_type, to_bytes({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests})


def _platform(platform: Platform) -> dict[str, str]:
    found = {"architecture": platform.architecture, "os": platform.os, "variant": platform.variant}
    return {key: value for key, value in found.items() if value}
