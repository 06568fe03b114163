"""Images of services: the cluster's names first, then their registries."""

from manager.images.image_records import find_name
from manager.interfaces import ImageResolver
from manager.store.tables import View
from shoal.distribution.manifests import Platform
from shoal.distribution.resolve import ResolvedImage
from shoal.image_reference import parse


class NamedImageResolver:
    """A name that the cluster knows means what it means there, whatever its registry says by now, as for `docker run`.

    Implements `manager.interfaces.ImageResolver`.
    """

    def __init__(self, *, view: View, registries: ImageResolver) -> None:
        self._view = view
        self._registries = registries

    async def resolve(self, reference: str) -> ResolvedImage:
        """Raises as `ImageResolver.resolve` does."""
        requested = parse(reference)
        found = find_name(self._view, requested)
        if found is None:
            return await self._registries.resolve(reference)
        platforms = tuple(
            Platform(each.platform.os, each.platform.architecture, each.platform.variant) for each in found.variants
        )
        return ResolvedImage(str(requested.with_default_tag().with_digest(found.digest)), platforms)
