"""Inspect an image in a registry."""

from dataclasses import dataclass

from shoal.distribution.image_config import ParsedConfig, parse_config
from shoal.distribution.manifests import (
    Index,
    Manifest,
    Platform,
    choose_manifest,
    host_platform,
    parse_manifest,
    platforms_of,
)
from shoal.distribution.registries import Registries
from shoal.distribution.retry_policy import RetryPolicy
from shoal.errors import InvalidInput
from shoal.image_reference import parse


@dataclass(frozen=True)
class Inspection:
    """An image in its registry.

    Attributes:
        reference: pinned to `digest`, which is that of the index where there is one.
        platforms: all that it is made for.
        manifest: of the platform asked for, with `manifest_digest`; `config` is that platform's.
        size: bytes to fetch for that platform.
    """

    reference: str
    digest: str
    platforms: tuple[Platform, ...]
    manifest_digest: str
    manifest: Manifest
    config: ParsedConfig
    size: int


async def inspect(
    reference: str,
    registries: Registries,
    *,
    platform: Platform | None = None,
    policy: RetryPolicy | None = None,
) -> Inspection:
    """Look an image up, for a platform or this host's.

    Raises:
        NotFound, InvalidInput, Unauthenticated, PermissionDenied, Unavailable: as the registry answers.
    """
    from shoal.distribution.registry_client import Distribution  # httpx costs 86 ms: only for `inspect`

    requested = parse(reference)
    async with Distribution(registries, policy=policy) as distribution:
        repository = distribution.repository(requested)
        top = raw = await repository.manifest(requested.target)
        parsed, platforms = parse_manifest(top.content, top.media_type), tuple[Platform, ...]()
        if isinstance(parsed, Index):
            platforms = platforms_of(parsed)
            raw = await repository.manifest(choose_manifest(parsed, platform or host_platform()).digest)
            parsed = parse_manifest(raw.content, raw.media_type)
        if isinstance(parsed, Index):
            raise InvalidInput(f"{requested.familiar}: nested image indexes are not supported")
        config = parse_config(await repository.blob(parsed.config))
    pinned = str(requested.with_default_tag().with_digest(top.digest))
    size = parsed.config.size + sum(layer.size for layer in parsed.layers)
    return Inspection(pinned, top.digest, platforms or (config.platform,), raw.digest, parsed, config, size)
