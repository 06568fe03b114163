"""Commands to be run in containers: what `exec` creates, starts and inspects by an id.

Kept by this engine until five minutes after they have ended. An id begins with the 17 digits of the container's own.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.protocol.errors import ApiError, not_found
from shoal.api.v1.streams_pb2 import ExecStart
from shoal.errors import Exhausted

MAX_ENTRIES = 10_000
KEPT_SECONDS = 300.0
_CONTAINER_DIGITS = 17
_RANDOM_DIGITS = 47


@dataclass
class ExecEntry:
    """A command.

    Attributes:
        id: 64 digits. container_id: the same of its container.
        start: what is to be run; whether it has a terminal, and standard input.
        attach_stdout, attach_stderr, detach_keys: as the client has asked at the creation.
        running: it was started and has not ended. exit_code: once it has ended.
        ended_at: by the steady clock, seconds; 0 while it has not.
    """

    id: str
    container_id: str
    start: ExecStart
    attach_stdin: bool
    attach_stdout: bool
    attach_stderr: bool
    detach_keys: str
    started: bool = False
    running: bool = False
    exit_code: int | None = None
    ended_at: float = 0.0

    def end(self, code: int | None, now: float) -> None:
        """It has ended, with this code if that is known."""
        self.running, self.exit_code, self.ended_at = False, code, now


@dataclass
class ExecTable:
    """All of them."""

    clock: Callable[[], float] = time.monotonic
    _entries: OrderedDict[str, ExecEntry] = field(default_factory=OrderedDict)

    def add(self, make: Callable[[str], ExecEntry], container_id: str) -> ExecEntry:
        """A new one.

        Args:
            make: makes it of its id.
        Raises:
            Exhausted: there are too many that have not ended.
        """
        self._forget()
        if len(self._entries) >= MAX_ENTRIES:
            raise Exhausted(f"too many exec commands; the maximum is {MAX_ENTRIES:,}")
        identifier = container_id[:_CONTAINER_DIGITS] + secrets.token_hex(_RANDOM_DIGITS)[:_RANDOM_DIGITS]
        entry = make(identifier)
        self._entries[identifier] = entry
        return entry

    def find(self, identifier: str) -> ExecEntry:
        """By the whole id, or the beginning of one.

        Raises:
            ApiError: 404, there is none.
        """
        known = self._entries.get(identifier)
        if known is not None:
            return known
        found = [each for key, each in self._entries.items() if identifier and key.startswith(identifier)]
        if len(found) != 1:
            raise no_such_exec(identifier)
        return found[0]

    def of_container(self, container_id: str) -> list[str]:
        """Ids of those that run in a container."""
        return [each.id for each in self._entries.values() if each.container_id == container_id and each.running]

    def _forget(self) -> None:
        limit = self.clock() - KEPT_SECONDS
        for entry in [*self._entries.values()]:
            if entry.ended_at and entry.ended_at < limit:
                del self._entries[entry.id]


def no_such_exec(identifier: str) -> ApiError:
    """404 with Docker's words."""
    return not_found(f"No such exec instance: {identifier}")
