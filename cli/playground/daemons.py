"""Start and stop the programs of a playground, each in the network namespace of its host.

`nsenter` rather than `ip netns exec`: that one mounts a /sys of its own, which hides the machine's cgroups.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from shoal.errors import Timeout, Unavailable

BIN = Path(sys.executable).parent
"""Our own programs lie beside the interpreter of the venv."""


def spawn(namespace: str, command: Sequence[str | Path], log: Path) -> int:
    """Start a daemon in a session of its own; it outlives this process. Returns its process id.

    Args:
        namespace: its network namespace; empty: that of this process.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    entering = ["nsenter", f"--net=/run/netns/{namespace}", "--"] if namespace else []
    words = [*entering, *map(str, command)]
    return os.posix_spawnp(
        words[0],
        words,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def run(namespace: str, command: Sequence[str | Path], *, seconds: float) -> None:
    """Run a program in a namespace to its end.

    Raises:
        Unavailable: it failed; with the last line of its output.
        Timeout: it did not end in time.
    """
    try:
        done = subprocess.run(
            ["nsenter", f"--net=/run/netns/{namespace}", "--", *map(str, command)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Timeout(f"{command[0]} did not finish within {seconds:.0f} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Unavailable(f"{Path(command[0]).name}: {said[-1] if said else f'exit code {done.returncode}'}")


def is_running(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits for its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def stop(pids: Iterable[int], *, grace_seconds: float) -> None:
    """SIGTERM, and SIGKILL to those that are still there after the grace; without one SIGKILL alone."""
    left = [pid for pid in pids if not grace_seconds or _send(pid, signal.SIGTERM)]
    deadline = time.monotonic() + grace_seconds
    while (left := _reap(left)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in left:
        _send(pid, signal.SIGKILL)
    while left := _reap(left):
        time.sleep(0.02)


def _send(pid: int, number: signal.Signals) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def _reap(pids: Iterable[int]) -> list[int]:
    """Those that still run; our own children among the ended ones are waited for."""
    left = []
    for pid in pids:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        if is_running(pid):
            left.append(pid)
    return left


def tail(log: Path, lines: int = 5) -> str:
    """The last lines of a daemon's log, for an error."""
    with suppress(FileNotFoundError):
        return " | ".join(log.read_text(errors="replace").strip().splitlines()[-lines:])
    return ""
