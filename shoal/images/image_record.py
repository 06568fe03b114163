"""From an image in a repository to what the cluster's records say of it (`shoal.api.v1.Image`)."""

from shoal.api.v1.meta_pb2 import Platform as PlatformMessage
from shoal.api.v1.standalone_pb2 import ImageVariant
from shoal.distribution.image_config import CONFIGURATION, layers_by_diff_id, parse_config
from shoal.distribution.registry_client import Repository
from shoal.errors import InvalidInput
from shoal.images.image_contents import ImageContents, PlatformManifest

MAX_CONFIG_BYTES = 256 << 10
"""Of one configuration, as the record holds it."""


async def read_variants(repository: Repository, contents: ImageContents) -> list[ImageVariant]:
    """What is said of each platform of an image; attestations and the like left out.

    Raises:
        InvalidInput: a configuration is none, is too large, or another image's.
        NotFound, Unavailable: as the registry answers.
    """
    return [await _variant(repository, each) for each in contents.manifests if each.is_image]


async def _variant(repository: Repository, found: PlatformManifest) -> ImageVariant:
    manifest = found.manifest
    if manifest.config.size > MAX_CONFIG_BYTES:
        raise InvalidInput(
            f"{CONFIGURATION} has {manifest.config.size} bytes; the maximum is {MAX_CONFIG_BYTES}: {repository.name}"
        )
    content = await repository.blob(manifest.config)
    config = parse_config(content)
    layers_by_diff_id(manifest, config.diff_ids)
    platform = found.platform or config.platform
    return ImageVariant(
        platform=PlatformMessage(os=platform.os, architecture=platform.architecture, variant=platform.variant),
        digest=found.raw.digest,
        config_digest=manifest.config.digest,
        stored_bytes=manifest.config.size + sum(each.size for each in manifest.layers),
        layers=[each.digest for each in manifest.layers],
        config=content,
        layer_bytes=[each.size for each in manifest.layers],
    )
