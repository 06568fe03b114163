"""The agents of a playground's hosts."""

from pathlib import Path

from cli.playground import daemons
from cli.playground.layout import Layout, PlaygroundHost
from cli.playground.monitoring import monitoring_options
from shoal.monitoring.settings import AGENT_PORT


def agent_command(layout: Layout, host: PlaygroundHost, token_file: Path) -> list[str | Path]:
    """The agent of a host, which joins with the token when it has no identity yet."""
    return [
        daemons.BIN / "shoal-agent",
        "run",
        *_directories(host),
        "--join",
        layout.join,
        "--token-file",
        token_file,
        "--hostname",
        host.name,
        "--advertise-address",
        layout.advertised_address(host.address),
        "--registries-file",
        layout.registries_file,
        *monitoring_options(layout, host.address, AGENT_PORT),
    ]


def reset_command(host: PlaygroundHost) -> list[str | Path]:
    """Removes every container of a host, and all else that its agent made."""
    return [daemons.BIN / "shoal-agent", "reset", "--all", "--yes", *_directories(host)]


def _directories(host: PlaygroundHost) -> list[str | Path]:
    return ["--state-directory", host.state, "--run-directory", host.run]
