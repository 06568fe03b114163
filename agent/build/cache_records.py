"""What is remembered of layers that builds have made, by their keys; and which of it a prune deletes. Pure."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from shoal.errors import InvalidInput

REGULAR = "regular"
DAY_MS = 86_400_000
RECENT_MS = 2 * DAY_MS
"""Records used within it stay, unless everything is to go (BuildKit's default for what is not a cache mount)."""
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
    matches: Callable[[CacheRecord], bool]


def to_prune(
    records: Sequence[CacheRecord], rule: PruneRule, in_use: Callable[[CacheRecord], bool], now_ms: int
) -> list[CacheRecord]:
    """The records that go, the least recently used first."""
    kept_bytes = sum(each.size for each in {each.diff_id: each for each in records}.values())
    chosen: list[CacheRecord] = []
    for each in sorted(records, key=lambda record: (record.used_at_ms, record.key)):
        if rule.keep_bytes and kept_bytes <= rule.keep_bytes:
            break
        recent = each.used_at_ms > now_ms - RECENT_MS and not rule.everything and not rule.unused_since_ms
        late = bool(rule.unused_since_ms) and each.used_at_ms > rule.unused_since_ms
        if recent or late or in_use(each) or not rule.matches(each):
            continue
        chosen.append(each)
        kept_bytes -= each.size
    return chosen


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
