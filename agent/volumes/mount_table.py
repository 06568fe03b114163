"""The host's mount table, and the shared mount for CSI volumes."""

import subprocess
from pathlib import Path

from agent.safe_paths.mountinfo import parse_mountinfo, read_mountinfo
from shoal.errors import Unavailable

_SECONDS = 10.0


def mounted_below(directory: Path) -> list[Path]:
    """Mount points at the directory and below it, the innermost last."""
    points = (entry.point for entry in parse_mountinfo(read_mountinfo()))
    return [point for point in points if point == directory or directory in point.parents]


def bind_shared(directory: Path) -> None:
    """Make the directory a mount point with shared propagation.

    A driver in a container mounts volumes below it, which must be visible on the host; and other mount namespaces can
    unmount all of them at once.

    Raises:
        Unavailable: it cannot be created or mounted.
    """
    try:
        directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"cannot create {directory}: {error.strerror}") from error
    if directory not in mounted_below(directory):
        _run("mount", "--bind", str(directory), str(directory))
        _run("mount", "--make-shared", str(directory))


def unmount_all(directory: Path) -> None:
    """Undo `bind_shared`, with everything that is still mounted below it.

    Raises:
        Unavailable: something is in use.
    """
    for point in reversed(mounted_below(directory)):
        _run("umount", str(point))


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{' '.join(command)}: {error}") from error
    if done.returncode:
        raise Unavailable(f"{' '.join(command)}: {' '.join(done.stderr.split())[-300:]}")
