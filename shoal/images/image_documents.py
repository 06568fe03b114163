"""What is known of an image as people and Docker's clients read it: `inspect` and `history`. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shoal.api.v1.engine_pb2 import ImageView
from shoal.api.v1.standalone_pb2 import ImageVariant
from shoal.distribution.manifests import Platform, host_platform
from shoal.errors import NotFound
from shoal.image_reference import parse
from shoal.utc_text import utc_text

MISSING = "<missing>"
"""Docker's id of a step that has no image of its own."""


@dataclass(frozen=True)
class HistoryStep:
    """One step of an image's history, the newest first.

    Attributes:
        image_id: of the newest one; `MISSING` of the others.
        created: RFC 3339; empty where it is not known.
        size_bytes: of its layer as it is stored.
    """

    image_id: str
    created: str
    created_by: str
    size_bytes: int
    comment: str
    tags: tuple[str, ...]


def choose_variant(view: ImageView, platform: Platform | None = None) -> ImageVariant:
    """The platform asked for; else this host's, else the image's first one.

    Raises:
        NotFound: it has none for the platform asked for, or none at all.
    """
    requested = platform or host_platform()
    for each in view.image.variants:
        same = (each.platform.os, each.platform.architecture) == (requested.os, requested.architecture)
        if same and requested.variant in ("", each.platform.variant):
            return each
    if platform is None and view.image.variants:
        return view.image.variants[0]
    offered = ", ".join(map(platform_text, view.image.variants)) or "none"
    raise NotFound(f"no manifest for platform {requested}; available: {offered}")


def platform_text(variant: ImageVariant) -> str:
    """ "linux/arm64/v8" """
    return str(Platform(variant.platform.os, variant.platform.architecture, variant.platform.variant))


def size_of(variant: ImageVariant) -> int:
    """Unpacked where a node has reported it, else as it is stored."""
    return variant.unpacked_bytes or variant.stored_bytes


def created_text(variant: ImageVariant) -> str:
    """RFC 3339 as the configuration has it; empty where it has none."""
    return _text(_config(variant).get("created"))


def labels_of(variant: ImageVariant) -> dict[str, str]:
    """Labels of the configuration."""
    labels = _object(_object(_config(variant).get("config")).get("Labels"))
    return {str(key): _text(value) for key, value in labels.items()}


def tags_of(view: ImageView) -> list[str]:
    """Names with tags, as people write them."""
    return [found.familiar for found in map(parse, filter(None, view.names)) if found.tag]


def digests_of(view: ImageView) -> list[str]:
    """A name by digest for each repository that has a name of the image."""
    repositories = {parse(name).name: parse(name) for name in view.names if name}
    return [f"{type(each)(each.domain, each.path).familiar}@{view.image.digest}" for each in repositories.values()]


def history(view: ImageView, variant: ImageVariant) -> list[HistoryStep]:
    """The steps of an image, the newest first. Steps without a layer have no size."""
    steps = _steps(variant)
    sizes = iter(variant.layer_bytes)
    measured = [(each, 0 if each.get("empty_layer") is True else next(sizes, 0)) for each in steps]
    return [
        HistoryStep(
            image_id=variant.config_digest if number == 0 else MISSING,
            created=_text(each.get("created")),
            created_by=_text(each.get("created_by")),
            size_bytes=size,
            comment=_text(each.get("comment")),
            tags=tuple(tags_of(view)) if number == 0 else (),
        )
        for number, (each, size) in enumerate(reversed(measured))
    ]


def inspect_document(view: ImageView, variant: ImageVariant) -> dict[str, Any]:
    """An image as `docker image inspect` shows it (Engine API 1.50), with where it was pulled from and what uses it."""
    config = _config(variant)
    rootfs = _object(config.get("rootfs"))
    return {
        "Id": variant.config_digest,
        "RepoTags": tags_of(view),
        "RepoDigests": digests_of(view),
        "Parent": view.image.parent,
        "Comment": next((each.comment for each in history(view, variant)[:1]), ""),
        "Created": created_text(variant),
        "Author": _text(config.get("author")),
        "Config": _object(config.get("config")),
        "Architecture": variant.platform.architecture,
        **({"Variant": variant.platform.variant} if variant.platform.variant else {}),
        "Os": variant.platform.os,
        "Size": size_of(variant),
        "RootFS": {"Type": _text(rootfs.get("type")), "Layers": rootfs.get("diff_ids") or []},
        "Metadata": {"LastTagTime": utc_text(view.image.meta.updated_at_ms or view.image.meta.created_at_ms)},
        "Descriptor": {"digest": view.image.digest},
        "Platforms": [platform_text(each) for each in view.image.variants],
        "Source": view.image.source,
        "Nodes": list(view.node_ids),
        "Services": list(view.service_ids),
        "Containers": list(view.container_ids),
    }


def _steps(variant: ImageVariant) -> list[Mapping[str, Any]]:
    """As the configuration has them; of one that has none, a step for each layer."""
    listed = _config(variant).get("history")
    steps = [each for each in listed if isinstance(each, dict)] if isinstance(listed, Sequence) else []
    return list(steps) or list(_unknown_steps(variant))


def _unknown_steps(variant: ImageVariant) -> Iterator[Mapping[str, Any]]:
    for _ in variant.layers:
        yield {}


def _config(variant: ImageVariant) -> Mapping[str, Any]:
    try:
        return _object(json.loads(variant.config or b"{}"))
    except ValueError:
        return {}


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
