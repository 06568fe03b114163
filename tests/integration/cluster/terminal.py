"""A command on a terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

from tests.integration.cluster.harness import DEADLINE_SECONDS, SHOAL, Cluster


class Terminal:
    """A command on a pseudo-terminal of its own.

    Args:
        program: `shoal`, or a client of Docker's by its name.
    """

    def __init__(self, cluster: Cluster, *arguments: str, program: Path = SHOAL) -> None:
        self._master, slave = pty.openpty()
        environment = {**os.environ, "SHOAL_CONFIG": str(cluster.config), "TERM": "xterm"}
        self.process = subprocess.Popen(
            [program, *arguments], stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)
        self.seen = ""

    def read_until(self, text: str | re.Pattern[str], seconds: float = DEADLINE_SECONDS) -> None:
        """Collect output until the text, or one of the pattern, has come."""
        pattern = re.compile(re.escape(text)) if isinstance(text, str) else text
        deadline = time.monotonic() + seconds
        while not pattern.search(self.seen):
            assert time.monotonic() < deadline, f"no {text!r} in {self.seen!r}"
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self._master, 65536).decode(errors="replace")
                except OSError:
                    assert pattern.search(self.seen), f"ended without {text!r}: {self.seen!r}"

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._master, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        """Drag the window's corner."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def end(self) -> int:
        code = self.process.wait(timeout=DEADLINE_SECONDS)
        os.close(self._master)
        return code
