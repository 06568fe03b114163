"""Resolve a tag to its current digest, so that all tasks of a service run the same image."""

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from shoal.distribution.image_config import platform_in_config
from shoal.distribution.manifests import Index, Manifest, Platform, parse_manifest, platforms_of
from shoal.distribution.registries import Registries
from shoal.distribution.registry_client import Distribution
from shoal.distribution.retry_policy import RetryPolicy
from shoal.errors import InvalidInput
from shoal.image_reference import ImageReference, parse


@dataclass(frozen=True)
class ResolvedImage:
    """An image pinned.

    Attributes:
        reference_with_digest: `domain/path:tag@sha256:…`, normalised.
        platforms: that it is made for; empty where the registry's manifest does not tell.
    """

    reference_with_digest: str
    platforms: tuple[Platform, ...]


class RegistryImageResolver:
    """Resolves by asking the image's registry, each time anew, over connections that are kept.

    An async context manager; belongs to one event loop.
    """

    def __init__(self, registries: Registries, *, policy: RetryPolicy | None = None) -> None:
        self._distribution = Distribution(registries, policy=policy or RetryPolicy(attempts=2))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._distribution.aclose()

    async def resolve(self, reference: str) -> ResolvedImage:
        """The digest of a reference and the platforms that it has.

        Raises:
            InvalidInput: not a reference, or a manifest that is broken.
            NotFound, Unauthenticated, PermissionDenied, Unavailable: as the registry answers.
        """
        requested = parse(reference)
        repository = self._distribution.repository(requested)
        raw = await repository.manifest(requested.target)
        manifest = _parse(raw.content, raw.media_type, requested)
        if isinstance(manifest, Index):
            platforms = platforms_of(manifest)
        else:
            platforms = (platform_in_config(await repository.blob(manifest.config)),)
        return ResolvedImage(str(requested.with_default_tag().with_digest(raw.digest)), platforms)


def _parse(content: bytes, media_type: str, requested: ImageReference) -> Manifest | Index:
    try:
        return parse_manifest(content, media_type)
    except InvalidInput as error:
        raise InvalidInput(f"{requested.familiar}: {error}") from error
