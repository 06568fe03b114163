"""Filters of images as flags; managers apply them, since some need other images."""

from collections.abc import Sequence

from shoal.api.v1.engine_pb2 import Filter, ImageView
from shoal.errors import InvalidInput
from shoal.filters.filter_set import FilterSet
from shoal.filters.image_filters import image_filters, prune_filters


def _unused(text: str) -> ImageView:
    raise InvalidInput(text)


LIST_FILTERS: FilterSet[ImageView] = image_filters(_unused, lambda _: 0)
PRUNE_FILTERS: FilterSet[ImageView] = prune_filters(lambda _: 0)


def to_filters(known: FilterSet[ImageView], texts: Sequence[str]) -> list[Filter]:
    """The filters for a request.

    Raises:
        InvalidInput: with every fault, as of other listings.
    """
    known.parse(texts)
    pairs = (text.partition("=") for text in texts)
    return [Filter(key=key.strip().lower(), value=value.strip()) for key, _, value in pairs]
