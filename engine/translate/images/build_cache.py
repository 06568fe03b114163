"""The cache of builds: requests to prune it, and its documents in `system/df`. Pure."""

from collections.abc import Sequence
from typing import Any

from engine.protocol.go_times import time_text
from engine.protocol.parameters import Filters
from engine.translate.prune_filters import prune_filters
from shoal.api.v1.builds_pb2 import BuildCacheRow, PruneBuildCacheRequest, PruneBuildCacheResponse
from shoal.api.v1.engine_pb2 import Filter

_KEYS = ("until", "unused-for", "id", "parent", "type", "description", "inuse", "shared", "private")


def read_prune(filters: Filters, *, everything: bool, keep_bytes: int, now_ms: int) -> PruneBuildCacheRequest:
    """`POST /build/prune`.

    Args:
        everything: `all`.
    Raises:
        ApiError: 400, a filter is unknown or no moment.
    """
    found = prune_filters(filters, _KEYS, now_ms=now_ms)
    if "until" in found:
        found["until"] = [str(int(each) // 1000) for each in found["until"]]  # as nodes read it: seconds
    if "unused-for" in found:
        found.setdefault("until", []).extend(found.pop("unused-for"))
    return PruneBuildCacheRequest(
        all=everything,
        keep_bytes=max(0, keep_bytes),
        filters=[Filter(key=key, value=value) for key, values in found.items() for value in values],
    )


def prune_document(answer: PruneBuildCacheResponse) -> dict[str, Any]:
    """What was deleted."""
    return {"CachesDeleted": list(answer.ids) or None, "SpaceReclaimed": answer.reclaimed_bytes}


def cache_documents(rows: Sequence[BuildCacheRow]) -> list[dict[str, Any]]:
    """`BuildCache` of `system/df`; what several nodes have is there once for each."""
    return [_document(row) for row in rows]


def _document(row: BuildCacheRow) -> dict[str, Any]:
    document: dict[str, Any] = {"ID": row.id}
    if row.parents:
        document["Parents"] = list(row.parents)
    return document | {
        "Type": row.type,
        "Description": row.description,
        "InUse": row.in_use,
        "Shared": row.shared,
        "Size": row.bytes,
        "CreatedAt": time_text(row.created_at_ms),
        "LastUsedAt": time_text(row.used_at_ms) if row.used_at_ms else None,
        "UsageCount": row.use_count,
    }
