"""Docker's Engine API for a playground: `shoal-engine` on this machine, outside the simulated hosts."""

import os
import socket
from pathlib import Path

from cli.playground import daemons
from cli.playground.layout import Layout
from cli.playground.leftovers import processes_named

HOME_NODE = "h1"
"""Its files are those of this machine, as of every simulated host."""


def engine_command(layout: Layout, contexts: Path) -> list[str | Path]:
    """The engine of a playground, with the context of its name below a user's directory of contexts."""
    return [
        "env",
        f"SHOAL_CONFIG={contexts}",
        daemons.BIN / "shoal-engine",
        "--context",
        layout.name,
        "--socket",
        layout.engine_socket,
        "--home-node",
        HOME_NODE,
        # It runs on this machine itself, whose port may be of another one's.
        "--monitoring-address",
        "off",
    ]


def engine_processes(layout: Layout) -> list[int]:
    """Process ids of every engine on the playground's socket, whoever started it."""
    return processes_named("shoal-engine", str(layout.engine_socket))


def accepts(path: Path) -> bool:
    """Whether a Unix socket takes connections."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(os.fspath(path)) == 0
