"""Digests of clients' files, kept in memory between builds: what a client lists as it was need not be sent again.

A file is the same while its size, its mode and its time in nanoseconds are, in the same directory of the same client:
so BuildKit has it. An engine that begins anew knows none, which costs time alone.
"""

from collections import OrderedDict

from engine.buildkit.v1.fsutil_pb2 import Stat
from engine.server.callers import ApiCaller

MAX_FILES = 200_000
"""In all: some 60 MB."""

Identity = tuple[int, int, int]
Known = dict[str, tuple[Identity, bytes]]


class KnownFiles:
    """Of all contexts; those used last stay."""

    def __init__(self) -> None:
        self._contexts: OrderedDict[tuple[ApiCaller, str, str], Known] = OrderedDict()
        self._count = 0

    def find(self, caller: ApiCaller, shared_key: str, directory: str) -> Known:
        """Those of a directory, by path; none where the client does not say which directory it is.

        Args:
            shared_key: of the session.
        """
        return self._contexts.get((caller, shared_key, directory), {}) if shared_key else {}

    def keep(self, caller: ApiCaller, shared_key: str, directory: str, known: Known) -> None:
        """In the place of what was known of the directory."""
        if not shared_key:
            return
        key = caller, shared_key, directory
        self._count -= len(self._contexts.pop(key, {}))
        if len(known) > MAX_FILES:
            return
        self._contexts[key] = known
        self._count += len(known)
        while self._count > MAX_FILES:
            self._count -= len(self._contexts.popitem(last=False)[1])


def identity(stat: Stat) -> Identity:
    """By which a file is the same."""
    return stat.size, stat.mode, stat.mod_time
