"""Rows of containers as JSON, kept while their containers and what is around them do not change. Pure.

Of a list of many containers few have changed since it was asked for last. What changes by itself is the age in
`Status`: a row is kept in the two parts before and after it.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from engine.protocol.compact_json import encoded
from engine.protocol.versions import ApiVersion
from engine.translate.containers.container_facts import Surroundings
from engine.translate.containers.container_list import list_row
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.container_states import StatusText, status_parts

MAX_BYTES = 4 << 20
"""Of all rows that are kept: of some four thousand containers."""


@dataclass(frozen=True)
class _Row:
    before: bytes
    status: StatusText
    after: bytes

    @property
    def size(self) -> int:
        return len(self.before) + len(self.after)

    def at(self, now_ms: int) -> bytes:
        return b"%b%b%b" % (self.before, encoded(self.status.at(now_ms)), self.after)


class EncodedRows:
    """The rows that were listed last."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[bytes, _Row] = OrderedDict()
        self._last: tuple[object, ApiVersion, list[_Row]] | None = None

    def again(self, answer: object, version: ApiVersion, *, now_ms: int) -> bytes | None:
        """The last list, as JSON, if it was made of the same answer; else None.

        Args:
            answer: the manager's, which is the same object only while nothing at all has changed in the cluster.
            now_ms: milliseconds since the Unix epoch, for the ages in `Status`.
        """
        if self._last is None or self._last[0] is not answer or self._last[1] != version:
            return None
        return _joined(self._last[2], now_ms)

    def encoded(
        self,
        answer: object,
        views: Iterable[ContainerView],
        version: ApiVersion,
        around: Surroundings,
        *,
        now_ms: int,
    ) -> bytes:
        """The list, as JSON.

        Args:
            answer: that the views are of, for `again`.
            now_ms: milliseconds since the Unix epoch, for the ages in `Status`.
        """
        common = repr((version, sorted(around.networks.items()))).encode()
        rows = [self._row(view, version, around, common) for view in views]
        self._last = (answer, version, rows)
        return _joined(rows, now_ms)

    def _row(self, view: ContainerView, version: ApiVersion, around: Surroundings, common: bytes) -> _Row:
        links = around.links.get(view.container.meta.id, ())
        own = repr((around.image_of(view).image_id, links)).encode()
        digest = blake2b(common, digest_size=16)
        digest.update(b"%d %b" % (len(own), own))
        digest.update(view.SerializeToString(deterministic=True))
        key = digest.digest()
        if (known := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return known
        found = _encode(view, version, around)
        self._kept[key] = found
        self._bytes += found.size
        while self._bytes > self._max_bytes:
            self._bytes -= self._kept.popitem(last=False)[1].size
        return found


def _joined(rows: Iterable[_Row], now_ms: int) -> bytes:
    return b"[" + b",".join(row.at(now_ms) for row in rows) + b"]"


def _encode(view: ContainerView, version: ApiVersion, around: Surroundings) -> _Row:
    fields = list(list_row(view, version, around, now_ms=0).items())
    place = [name for name, _ in fields].index("Status")
    before, after = encoded(dict(fields[:place])), encoded(dict(fields[place + 1 :]))
    return _Row(before[:-1] + b',"Status":', status_parts(view), b"," + after[1:])
