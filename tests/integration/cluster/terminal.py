"""A command on a terminal."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

from tests.integration.cluster.harness import SHOAL, Cluster


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

    def read_until(self, text: str, seconds: float = 30) -> None:
        """Collect output until the text has come."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, f"no {text!r} in {self.seen!r}"
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self._master, 65536).decode(errors="replace")
                except OSError:
                    assert text in self.seen, f"ended without {text!r}: {self.seen!r}"

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._master, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        """Drag the window's corner."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def end(self) -> int:
        code = self.process.wait(timeout=30)
        os.close(self._master)
        return code
