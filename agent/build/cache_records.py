"""What is remembered of layers that builds have made, by their keys; and which of it a prune deletes. Pure."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from shoal.api.v1.builds_pb2 import BuildCacheRow
from shoal.api.v1.engine_pb2 import Filter
from shoal.errors import Fault, InvalidInput

REGULAR, CACHE_MOUNT, LOCAL_SOURCE = "regular", "exec.cachemount", "source.local"
"""Types, in BuildKit's words."""

DAY_MS = 86_400_000
RECENT_MS = 2 * DAY_MS
"""Records used within it stay, unless everything is to go (BuildKit's default for what is not a cache mount)."""
_FILTERS = frozenset(("id", "type", "description", "until", "unused-for", "inuse", "shared"))
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


@dataclass(frozen=True)
class Blob:
    """A layer as it is stored in the cluster's image repository."""

    media_type: str
    digest: str
    size: int


@dataclass(frozen=True)
class CacheRecord:
    """Attributes:
    key: of the vertex that made it.
    size: of its uncompressed tar, bytes.
    blob: None: it has not been published.
    """

    key: str
    diff_id: str
    description: str
    size: int
    created_at_ms: int
    used_at_ms: int
    use_count: int = 0
    blob: Blob | None = None

    def used(self, now_ms: int) -> "CacheRecord":
        """The same after one more use."""
        return replace(self, used_at_ms=now_ms, use_count=self.use_count + 1)


def encode_records(records: Iterable[CacheRecord]) -> bytes:
    """As a file has them."""
    return json.dumps([asdict(each) for each in records], separators=(",", ":")).encode()


def parse_records(content: bytes) -> list[CacheRecord]:
    """From a file. Raises ValueError, KeyError, TypeError: it is damaged."""
    return [_record(each) for each in json.loads(content)]


def _record(fields: Mapping[str, Any]) -> CacheRecord:
    blob = fields.get("blob")
    return CacheRecord(**{**fields, "blob": Blob(**blob) if blob else None})


@dataclass(frozen=True)
class PruneRule:
    """Which records go.

    Attributes:
        everything: also those that were used within `RECENT_MS`.
        unused_since_ms: only those that were used before; 0: any.
        keep_bytes: the ones used last stay up to this; 0: none.
        matches: filters.
    """

    everything: bool
    unused_since_ms: int
    keep_bytes: int
    matches: Callable[[BuildCacheRow], bool]


def to_prune(
    rows: Sequence[BuildCacheRow], rule: PruneRule, stays: Callable[[BuildCacheRow], bool], now_ms: int
) -> list[BuildCacheRow]:
    """What goes, the least recently used first."""
    kept_bytes = sum(each.bytes for each in rows)
    chosen: list[BuildCacheRow] = []
    for each in sorted(rows, key=lambda row: (row.used_at_ms, row.id)):
        if rule.keep_bytes and kept_bytes <= rule.keep_bytes:
            break
        recent = each.used_at_ms > now_ms - RECENT_MS and not rule.everything and not rule.unused_since_ms
        late = bool(rule.unused_since_ms) and each.used_at_ms > rule.unused_since_ms
        if recent or late or stays(each) or not rule.matches(each):
            continue
        chosen.append(each)
        kept_bytes -= each.bytes
    return chosen


class CacheFilters:
    """Filters of lists and prunes, as BuildKit has them.

    Attributes:
        used_before_ms: the moment of `until`; 0: none.
    Raises:
        InvalidInput: with every filter that is none.
    """

    def __init__(self, filters: Iterable[Filter], now_ms: int) -> None:
        self._given: dict[str, list[str]] = {}
        for each in filters:
            self._given.setdefault(each.key, []).append(each.value)
        if unknown := self._given.keys() - _FILTERS:
            raise InvalidInput([Fault("filters", f'invalid filter "{name[:40]}"') for name in sorted(unknown)])
        moments = [*self._given.get("until", ()), *self._given.get("unused-for", ())]
        self.used_before_ms = min((parse_until(each, now_ms) for each in moments), default=0)

    def matches(self, row: BuildCacheRow) -> bool:
        """Whether a row is meant, its moment left aside."""
        values = {"type": row.type, "inuse": _text(row.in_use), "shared": _text(row.shared)}
        if any(value not in self._given[name] for name, value in values.items() if name in self._given):
            return False
        if "id" in self._given and not any(row.id.startswith(each) for each in self._given["id"] if each):
            return False
        parts = self._given.get("description")
        return parts is None or any(each in row.description for each in parts)


def _text(value: bool) -> str:
    return "true" if value else "false"


def parse_until(value: str, now_ms: int) -> int:
    """The moment of a filter `until`: a duration before now, as "24h", or seconds since the Unix epoch.

    Raises:
        InvalidInput: it is neither.
    """
    if value.isascii() and value.isdecimal() and len(value) < 12:
        return int(value) * 1000
    parts = _DURATION.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise InvalidInput(f'invalid filter until={value[:40]!r}: use a duration as "24h", or a Unix timestamp')
    return now_ms - round(sum(float(number) * _UNITS_MS[unit] for number, unit in parts))
