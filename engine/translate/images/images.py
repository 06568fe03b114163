"""Images: the documents of list, inspect, history, and of what was removed. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from engine.protocol.go_times import NEVER, parse_time, time_text
from engine.protocol.versions import NETWORKS_AT_CREATION, NO_DANGLING_NAMES, SHORT_IMAGE_CONFIG, ApiVersion
from engine.translate.containers.container_inspect import STORAGE_DRIVER
from shoal.api.v1.engine_pb2 import ImageView, RemoveImagesResponse
from shoal.api.v1.standalone_pb2 import ImageVariant
from shoal.docker_units import docker_size
from shoal.errors import InvalidInput
from shoal.image_reference import parse
from shoal.images import image_documents
from shoal.images.image_documents import choose_variant, created_text, history, labels_of, size_of, tags_of

NO_NAME = "<none>:<none>"
NO_DIGEST = "<none>@<none>"
UNKNOWN = -1

_OLD_CONFIG: dict[str, Any] = {
    "Hostname": "",
    "Domainname": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Image": "",
}
"""Fields that `Config` of images had before version 1.50."""


def image_row(view: ImageView, version: ApiVersion, *, shared: Mapping[str, int] | None = None) -> dict[str, Any]:
    """`GET /images/json`: one image.

    Args:
        shared: bytes that images share with others, as `shared_sizes` has them; None: SharedSize was not asked for.
    """
    variant = choose_variant(view)
    tags, digests = tags_of(view), image_documents.digests_of(view)
    if not tags and version < NO_DANGLING_NAMES:
        tags, digests = [NO_NAME], digests or [NO_DIGEST]
    row: dict[str, Any] = {
        "Containers": UNKNOWN,
        "Created": _seconds(created_text(variant)),
        "Id": variant.config_digest,
        "Labels": labels_of(variant) or None,
        "ParentId": view.image.parent,
        "RepoDigests": digests,
        "RepoTags": tags,
        "SharedSize": UNKNOWN if shared is None else shared[variant.config_digest],
        "Size": size_of(variant),
    }
    if version < NETWORKS_AT_CREATION:
        row["VirtualSize"] = row["Size"]
    return row


def inspect_document(view: ImageView, version: ApiVersion) -> dict[str, Any]:
    """`GET /images/{name}/json`."""
    found = image_documents.inspect_document(view, choose_variant(view))
    document = {key: found[key] for key in ("Id", "RepoTags", "RepoDigests", "Parent", "Comment", "Created")}
    document |= {"DockerVersion": "", "Author": found["Author"], "Config": found["Config"] or {}}
    document |= {"Architecture": found["Architecture"]}
    document |= {"Variant": found["Variant"]} if "Variant" in found else {}
    document |= {
        "Os": found["Os"],
        "Size": found["Size"],
        "GraphDriver": {"Data": {"MergedDir": "", "UpperDir": "", "WorkDir": ""}, "Name": STORAGE_DRIVER},
        "RootFS": found["RootFS"],
        "Metadata": {"LastTagTime": time_text(view.image.meta.updated_at_ms or view.image.meta.created_at_ms)},
    }
    if version < NETWORKS_AT_CREATION:
        document["VirtualSize"] = document["Size"]
    if version < SHORT_IMAGE_CONFIG:
        document["Config"] = {**_OLD_CONFIG, **document["Config"]}
    document["Created"] = document["Created"] or NEVER
    return document


def history_document(view: ImageView) -> list[dict[str, Any]]:
    """`GET /images/{name}/history`, the newest first."""
    return [
        {
            "Comment": step.comment,
            "Created": _seconds(step.created),
            "CreatedBy": step.created_by,
            "Id": step.image_id,
            "Size": step.size_bytes,
            "Tags": list(step.tags) or None,
        }
        for step in history(view, choose_variant(view))
    ]


def distribution_document(view: ImageView) -> dict[str, Any]:
    """`GET /distribution/{name}/json` of an image of the cluster. The size of its manifest is not known here."""
    variants = view.image.variants
    several = len(variants) > 1
    media_type = f"application/vnd.oci.image.{'index' if several else 'manifest'}.v1+json"
    return {
        "Descriptor": {"mediaType": media_type, "digest": view.image.digest, "size": 0},
        "Platforms": [
            platform_document(each.platform.os, each.platform.architecture, each.platform.variant) for each in variants
        ],
    }


def platform_document(system: str, architecture: str, variant: str) -> dict[str, str]:
    """A platform of an image."""
    return {"architecture": architecture, "os": system} | ({"variant": variant} if variant else {})


def removed_document(removed: RemoveImagesResponse) -> list[dict[str, str]]:
    """What a removal answers: names, then images."""
    return [{"Untagged": familiar(each)} for each in removed.untagged] + [{"Deleted": each} for each in removed.deleted]


def familiar(name: str) -> str:
    """A name as users write it."""
    try:
        return parse(name).familiar
    except InvalidInput:
        return name


def short_digest(digest: str) -> str:
    """The 12 digits by which clients tell layers apart."""
    return digest.partition(":")[2][:12]


def shared_sizes(views: Iterable[ImageView]) -> dict[str, int]:
    """By image id: bytes, as they are stored, of its layers that other images have too."""
    variants = {(chosen := choose_variant(view)).config_digest: chosen for view in views if view.image.variants}
    users = Counter(layer for variant in variants.values() for layer in set(variant.layers))
    return {
        image_id: sum(size for layer, size in _layers(variant).items() if users[layer] > 1)
        for image_id, variant in variants.items()
    }


def _layers(variant: ImageVariant) -> dict[str, int]:
    """Bytes of each layer by its digest."""
    return dict(zip(variant.layers, variant.layer_bytes, strict=False))


def layers_size(views: Iterable[ImageView]) -> int:
    """Bytes of all layers as they are stored, each once."""
    sizes: dict[str, int] = {}
    for view in views:
        for variant in view.image.variants:
            sizes |= _layers(variant)
    return sum(sizes.values())


def progress_text(done: int, total: int) -> str:
    """Docker's bar of 50 characters, with the sizes."""
    if total <= 0:
        return docker_size(done)
    filled = min(done * 50 // total, 50)
    bar = "=" * filled + ">" + " " * max(49 - filled, 0) if filled < 50 else "=" * 50 + ">"
    return f"[{bar}] {docker_size(done):>8}/{docker_size(total)}"


def _seconds(created: str) -> int:
    try:
        return parse_time(created) // 10**9 if created else 0
    except ValueError:
        return 0
