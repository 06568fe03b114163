"""Device paths: which of them agents report, so that tasks are placed where they exist.

The others are taken to be on every node: what the kernel always has, and families that come in hundreds.
"""

import re
from collections.abc import Sequence

from shoal.api.v1.node_pb2 import HostDevices

MAX_DEVICES = 512
"""Devices that an agent reports."""
MAX_PATH_LENGTH = 200
"""Characters of a path."""
MAX_DEPTH = 6
"""Parts of a path below /dev."""

_FAMILIES = re.compile(
    # Memory and randomness, the log, and what a container has of its own.
    r"null|zero|full|u?random|mem|port|kmsg|log|fd|std(in|out|err)|core|kcore|initctl|shm|mqueue|hugepages.*|console"
    # Terminals of the kernel, of programs, and of BSD.
    r"|tty\d*|ptmx|pts|vcs[au]?\d*|[pt]ty[a-ep-z][0-9a-f]"
    # Block devices that are made on demand; registers of each CPU; links by number; what is hidden.
    r"|loop.*|ram\d+|cpu|cpu_dma_latency|char|block|\..*"
)


def reported_name(path: str) -> str:
    """The path as agents report it; empty when they do not: it is of a family, not below /dev, or an odd name."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    plain = "/" + "/".join(parts)
    is_below = 1 < len(parts) <= MAX_DEPTH + 1 and parts[0] == "dev" and ".." not in parts
    if not is_below or len(plain) > MAX_PATH_LENGTH or not (plain.isascii() and plain.isprintable()):
        return ""
    return "" if _FAMILIES.fullmatch(parts[1]) else plain


def report_order(path: str) -> tuple[int, str]:
    """Sorts what is reported: names that people use come before the many links to them."""
    return path.count("/"), path


class ReportedDevices:
    """The devices that one agent reports, indexed for frequent queries."""

    def __init__(self, reported: HostDevices | None) -> None:
        """None: the agent reports none."""
        self._paths = frozenset(reported.paths) if reported is not None else frozenset()
        self._all = reported is not None and not reported.truncated
        self._last = max(map(report_order, self._paths), default=(0, "")) if reported is not None else (0, "")

    def lacks(self, names: Sequence[str]) -> str:
        """The first of these names (`reported_name`) that the node is known not to have; empty when there is none."""
        return next((name for name in names if name not in self._paths and self._is_known(name)), "")

    def _is_known(self, name: str) -> bool:
        return self._all or report_order(name) < self._last
