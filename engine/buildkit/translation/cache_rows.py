"""The cache of builds as `buildx du` and `buildx prune` have it. Pure."""

from collections.abc import Iterator, Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from engine.buildkit.v1.control_pb2 import PruneRequest, UsageRecord
from shoal.api.v1.builds_pb2 import BuildCacheRow, PruneBuildCacheRequest
from shoal.api.v1.engine_pb2 import Filter
from shoal.errors import InvalidInput

_KEYS = ("id", "type", "description", "inuse", "shared")
_FIELDS = {"recordtype": "type", "record-type": "type", "record_type": "type"}
_NS_PER_MS = 1_000_000


def prune_request(request: PruneRequest, now_ms: int) -> PruneBuildCacheRequest:
    """Raises InvalidInput: a filter is not served."""
    filters = list(read_filters(request.filter))
    if request.keep_duration > 0:
        until_ms = now_ms - request.keep_duration // _NS_PER_MS
        filters.append(Filter(key="until", value=str(max(0, until_ms // 1000))))
    keep = request.reserved_space or request.max_used_space
    return PruneBuildCacheRequest(all=request.all, filters=filters, keep_bytes=max(0, keep))


def read_filters(texts: Sequence[str]) -> Iterator[Filter]:
    """ "type==regular" as filters of the cluster's.

    Raises:
        InvalidInput: it is another comparison, or there are several of one key.
    """
    for text in texts:
        for each in filter(None, text.split(",")):
            key, sign, value = each.partition("==")
            key = _FIELDS.get(key.strip().lower(), key.strip().lower())
            if not sign:
                key, value = each.strip().lower(), "true"
            if key not in _KEYS:
                raise InvalidInput(f"filter {each[:80]!r} is not supported; use {', '.join(_KEYS)} with ==")
            yield Filter(key=key, value=value.strip())


def usage_record(row: BuildCacheRow) -> UsageRecord:
    """One row; what several nodes have is there once for each."""
    record = UsageRecord(
        id=row.id,
        mutable=row.type == "exec.cachemount",
        in_use=row.in_use,
        size=row.bytes,
        usage_count=row.use_count,
        description=row.description,
        record_type=row.type,
        shared=row.shared,
        parents=row.parents,
    )
    record.created_at.CopyFrom(_time(row.created_at_ms))
    if row.used_at_ms:
        record.last_used_at.CopyFrom(_time(row.used_at_ms))
    return record


def _time(milliseconds: int) -> Timestamp:
    found = Timestamp()
    found.FromMilliseconds(milliseconds)
    return found
