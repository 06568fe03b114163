"""The history of a run: one line of JSON an operation's begin and end, as Jepsen has them."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

INVOKE, OK, FAIL, INFO = "invoke", "ok", "fail", "info"
"""It begins; it was made; it was not made; it may have been made, or of no operation: something happened."""


@dataclass(frozen=True)
class Operation:
    """A line.

    Attributes:
        at: seconds since the Unix epoch.
        process: who: "writer", "faults", "cluster".
        type: one of the four.
        f: what: "create-config", "kill-manager".
        value: of what, with what; an operation's lines have the same.
        error: why it failed, or is unknown.
    """

    at: float
    process: str
    type: str
    f: str
    value: Any = None
    error: str = ""


class History:
    """Appends to a file, and keeps all lines. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._file = path.open("a")
        self.operations: list[Operation] = []

    def add(self, process: str, kind: str, what: str, value: Any = None, error: str = "") -> Operation:
        """A line, now."""
        made = Operation(round(time.time(), 3), process, kind, what, value, error)
        with self._lock:
            self.operations.append(made)
            self._file.write(json.dumps(asdict(made)) + "\n")
            self._file.flush()
        return made

    def close(self) -> None:
        self._file.close()


def read_history(path: Path) -> Iterator[Operation]:
    """Of a file."""
    for line in path.read_text().splitlines():
        yield Operation(**json.loads(line))
