"""The web console of a playground: `shoal-console` on this machine, for the person who started the playground."""

from pathlib import Path

from cli.playground import daemons
from cli.playground.layout import Layout
from cli.playground.leftovers import processes_named


def console_command(layout: Layout, contexts: Path) -> list[str | Path]:
    """The console of a playground, with the context of its name below a user's directory of contexts."""
    return [
        "env",
        f"SHOAL_CONFIG={contexts}",
        daemons.BIN / "shoal-console",
        "--local",
        "--context",
        layout.name,
        "--address-file",
        layout.console_address_file,
        "--log-level",
        "warning",
    ]


def console_processes(layout: Layout) -> list[int]:
    """Process ids of the playground's console."""
    return processes_named("shoal-console", str(layout.console_address_file))


def address_of(layout: Layout) -> str:
    """The address to open, good for one sign-in; empty until the console serves."""
    try:
        return layout.console_address_file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
