"""Registries in memory, for what only needs a tag's digest."""

from dataclasses import dataclass, field

from shoal import image_reference
from shoal.distribution.manifests import Platform
from shoal.distribution.resolve import ResolvedImage
from shoal.errors import NotFound, ShoalError


@dataclass
class FakeImages:
    """Knows every image but the `missing` ones; fails with `failure` when that is set.

    Attributes:
        digest_letter: 64 of it are the digest of everything.
        platforms: of everything.
        asked: references, in order.
    """

    missing: set[str] = field(default_factory=set)
    failure: ShoalError | None = None
    digest_letter: str = "a"
    platforms: tuple[Platform, ...] = ()
    asked: list[str] = field(default_factory=list)

    async def resolve(self, reference: str) -> ResolvedImage:
        self.asked.append(reference)
        if self.failure is not None:
            raise self.failure
        if reference in self.missing:
            raise NotFound(f"no image {reference}")
        pinned = image_reference.parse(reference).with_digest("sha256:" + self.digest_letter * 64)
        return ResolvedImage(str(pinned), self.platforms)
