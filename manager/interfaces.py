"""Interfaces that several rooms of the manager use."""

from collections.abc import Callable
from typing import Protocol

from shoal.distribution.resolve import ResolvedImage

NowMs = Callable[[], int]
"""Milliseconds since the Unix epoch."""


class ImageResolver(Protocol):
    """Registries, as far as a submission needs them."""

    async def resolve(self, reference: str) -> ResolvedImage:
        """The image that a tag refers to at present.

        Raises:
            NotFound: there is no such image. Unauthenticated, PermissionDenied, Unavailable: from the registry.
        """
        ...
