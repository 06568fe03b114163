"""A server in a process of its own, so that its memory can be measured."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Server:
    """A process of `guarded_server.py`."""

    process: subprocess.Popen[str]
    port: int

    def used(self) -> tuple[int, int]:
        """Bytes of memory, and open descriptors."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        memory, descriptors = self.process.stdout.readline().split()
        return int(memory), int(descriptors)


@contextmanager
def server(name: str, *directories: Path) -> Generator[Server]:
    """With the limits of this name; the manager's identity is in the first directory, logs in the second."""
    words = [sys.executable, "-m", "tests.hostile.neighbours_agent.guarded_server", name, *map(str, directories)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Server(process, int(process.stdout.readline()))
    finally:
        process.kill()
        process.communicate()
