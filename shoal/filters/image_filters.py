"""Filters of images (`docker images`, `docker image prune`)."""

import fnmatch
import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from shoal.api.v1.engine_pb2 import ImageView
from shoal.filters.filter_set import BOOLEANS, FilterSet, KeyFilter, boolean_filter, has_label
from shoal.image_reference import ImageReference, parse

FindImage = Callable[[str], ImageView]
"""What a reference in a filter means. Raises NotFound, InvalidInput."""

MomentMs = Callable[[str], int]
"""Milliseconds since the Unix epoch of a moment as a user writes it. Raises InvalidInput."""


def image_filters(find: FindImage, moment_ms: MomentMs) -> FilterSet[ImageView]:
    """Filters of a listing."""
    return FilterSet(
        {
            "before": KeyFilter(lambda view, value: created_ms(view) < created_ms(find(value))),
            "dangling": boolean_filter(is_dangling),
            "label": KeyFilter(_has_label, match_all=True),
            "reference": KeyFilter(_matches),
            "since": KeyFilter(lambda view, value: created_ms(view) > created_ms(find(value))),
            "until": KeyFilter(lambda view, value: created_ms(view) < moment_ms(value), match_all=True),
        }
    )


def prune_filters(moment_ms: MomentMs) -> FilterSet[ImageView]:
    """Filters of what is removed."""
    return FilterSet(
        {
            "dangling": KeyFilter(lambda _view, _value: True, tuple(BOOLEANS)),
            "label": KeyFilter(_has_label, match_all=True),
            "label!": KeyFilter(lambda view, value: not _has_label(view, value), match_all=True),
            "until": KeyFilter(lambda view, value: created_ms(view) < moment_ms(value), match_all=True),
        }
    )


def is_dangling(view: ImageView) -> bool:
    """Whether it has no name with a tag or a digest."""
    return not view.names


def created_ms(view: ImageView) -> int:
    """When its newest configuration was created, milliseconds since the Unix epoch; 0 where that is not known."""
    return max((_config_created_ms(each.config) for each in view.image.variants), default=0)


def _config_created_ms(config: bytes) -> int:
    try:
        created = json.loads(config).get("created", "")
        text = re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", created)
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, TypeError, AttributeError, OverflowError):
        return 0


def _has_label(view: ImageView, text: str) -> bool:
    return any(has_label(_labels(each.config), text) for each in view.image.variants)


def _labels(config: bytes) -> dict[str, str]:
    try:
        labels = json.loads(config)["config"]["Labels"]
        return {str(key): str(value) for key, value in labels.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def matching_names(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """Names that fit a pattern (Go's path.Match), with or without their tag or digest, in short or whole; with no
    pattern all. `reference=` shows no other names of an image.
    """
    return [
        name
        for name in names
        if not patterns or any(_fits(text, each) for text in _spellings(parse(name)) for each in patterns)
    ]


def _matches(view: ImageView, pattern: str) -> bool:
    return bool(matching_names(view.names, [pattern]))


def _spellings(name: ImageReference) -> set[str]:
    bare = ImageReference(name.domain, name.path)
    return {str(name), name.familiar, str(bare), bare.familiar}


def _fits(text: str, pattern: str) -> bool:
    """`*` does not go over a slash."""
    parts, part_patterns = text.split("/"), pattern.split("/")
    return len(parts) == len(part_patterns) and all(map(fnmatch.fnmatchcase, parts, part_patterns))
