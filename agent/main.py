"""`shoal-agent`: the command line of the agent."""

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from agent.cdi.cdi_registry import DIRECTORIES
from agent.malloc_tuning import limit_malloc
from agent.orderly_stop import OrderlyStop
from agent.settings import (
    CLOSED_PORTS,
    ON,
    ON_OFF,
    REGISTRIES_FILE,
    RUN_DIRECTORY,
    STATE_DIRECTORY,
    STREAM_PORT,
    VXLAN_PORT,
    AgentSettings,
)
from shoal.daemons.environment_options import environment_option
from shoal.daemons.fatal_errors import FAILURE, fatal_errors
from shoal.errors import Refused, ShoalError, Unavailable
from shoal.monitoring.options import monitoring_options
from shoal.monitoring.settings import AGENT_PORT
from shoal.networks.overlay_encryption import AUTO, BACKENDS
from shoal.state_format import WrongRelease
from shoal.telemetry import log_formatters
from shoal.telemetry.log_options import log_format_options, log_level_option

LOCK_SECONDS = 5.0
"""A killed agent holds its lock until the kernel has ended its last thread; its successor may start before."""
_LOCK_POLL_SECONDS = 0.05

Command = Callable[..., Any]
WRONG_RELEASE = 4
"""Exit code: systemd does not restart it."""


class DefaultsToRun(click.Group):
    """`shoal-agent --join …` is `shoal-agent run --join …`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = [*self.commands, "--help", "-h", "--version"]
        return super().parse_args(ctx, args if args[:1] and args[0] in words else ["run", *args])


_PATH = click.Path(path_type=Path)
_option = environment_option("agent")


def _directory_options(command: Command) -> Command:
    for option in (
        log_level_option(_option),
        _option(
            "--run-directory",
            default=RUN_DIRECTORY,
            type=_PATH,
            show_default=True,
            help="Directory for runtime state; a tmpfs is mounted on it.",
        ),
        _option(
            "--state-directory",
            default=STATE_DIRECTORY,
            type=_PATH,
            show_default=True,
            help="Directory for persistent state.",
        ),
    ):
        command = option(command)
    return command


@click.group(cls=DefaultsToRun, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="shoal", prog_name="shoal-agent")
def main() -> None:
    """The agent of a Shoal node: runs the containers that the managers assign to this host.

    \b
    Examples:
      shoal-agent --join manager1:7442 --token SHOAL-1-…     join a cluster, and run
      shoal-agent run                                        run on a host that has joined
      shoal-agent reset                                      stop all containers and remove all but images and volumes
    """


@main.command()
@_directory_options
@_option("--join", default="", metavar="HOST:PORT", help="Manager to join, host:port; needed on the first start.")
@_option(
    "--token", default="", metavar="TOKEN", help="Join token; use --token-file to keep it out of the process list."
)
@_option("--token-file", default=None, type=_PATH, help="File that contains the join token.")
@_option(
    "--hostname",
    default="",
    help=("Node name; defaults to the host name. Changes after joining must be accepted with `shoal node update`."),
)
@_option("--advertise-address", default="", metavar="ADDRESS", help="Address advertised to other nodes, IPv4 or IPv6.")
@_option("--advertise-interface", default="", metavar="NAME", help="Network interface whose address is advertised.")
@_option(
    "--stream-port",
    default=STREAM_PORT,
    show_default=True,
    help="TCP port of the agent's API for managers (logs, exec, stats).",
)
@_option(
    "--local-pool",
    default="",
    metavar="CIDR",
    help="IPv4 subnet for containers without a network; chosen automatically by default.",
)
@_option("--vxlan-port", default=VXLAN_PORT, show_default=True, help="VXLAN UDP port; must be the same on all nodes.")
@_option(
    "--closed-ports",
    default=CLOSED_PORTS,
    show_default=True,
    help="Comma-separated TCP ports of hosts that containers cannot connect to.",
)
@_option(
    "--registries-file",
    default=REGISTRIES_FILE,
    type=_PATH,
    show_default=True,
    help="TOML file with registry credentials and certificates.",
)
@_option(
    "--overlay-encryption",
    default=AUTO,
    type=click.Choice(BACKENDS),
    show_default=True,
    help="Encryption of encrypted networks: wireguard, esp, or auto (whatever the kernel supports).",
)
@_option("--parallel-starts", default=4, show_default=True, help="Maximum number of containers started concurrently.")
@_option(
    "--runtime-optimizations",
    default=ON,
    type=click.Choice(ON_OFF),
    show_default=True,
    help="Shortcuts for faster container starts; turn off if containers do not start with a new version of crun.",
)
@_option(
    "--resource",
    multiple=True,
    metavar="KIND=…",
    help="Generic resource, such as gpu=2 or gpu=GPU-1,GPU-2; can be repeated.",
)
@_option(
    "--label",
    multiple=True,
    metavar="NAME=VALUE",
    help=(
        "Engine label, engine.labels.NAME in constraints; can be repeated. "
        "Changes after joining must be accepted with `shoal node update`."
    ),
)
@_option(
    "--cdi-directory",
    multiple=True,
    default=DIRECTORIES,
    type=_PATH,
    show_default=True,
    help="Directory with CDI specs; can be repeated.",
)
@_option("--csi", multiple=True, metavar="NAME=unix:///PATH", help="Socket of a CSI driver; can be repeated.")
@_option(
    "--csi-timeout-seconds", default=30.0, show_default=True, help="Timeout of one call to a CSI driver, in seconds."
)
@monitoring_options(_option, AGENT_PORT)
@log_format_options(_option)
def run(**options: Any) -> None:
    """Run the agent; join the cluster first if necessary.

    SIGTERM stops the agent; its containers keep running, and the next agent recovers them. The node is shown as
    restarting meanwhile, and keeps its tasks for as long as the managers' --restart-grace-seconds say.

    \b
    Examples:
      shoal-agent run --join manager1:7442 --token-file /etc/shoal/join-token
      shoal-agent run --advertise-interface eth1 --hostname worker-3
    """
    with fatal_errors("shoal-agent", _exit_code):
        settings = AgentSettings(**options)
        log_formatters.configure(settings.log_level, json=settings.logs_json)
        with state_directory_lock(settings.state_directory):
            stop = OrderlyStop()
            asyncio.run(stop.run(partial(_run, settings, stop)))


@main.command()
@_directory_options
@click.option("--all", "images", is_flag=True, help="Also remove images and the data of volumes.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def reset(images: bool, yes: bool, **options: Any) -> None:
    """Stop all containers of this agent and remove everything that it created on this host. The agent must be stopped.

    Containers, their logs, cgroups, mounts, links, nft tables, the journal and the node's identity are removed; images
    and the data of volumes are kept unless --all is given. Remove the node from the cluster with `shoal node rm` before
    or afterwards.

    \b
    Examples:
      shoal-agent reset
      shoal-agent reset --all --yes
    """
    with fatal_errors("shoal-agent", _exit_code):
        settings = AgentSettings(**options)
        log_formatters.configure(settings.log_level, json=False)
        if not yes:
            click.confirm("This stops all containers on this node. Continue?", abort=True)
        with state_directory_lock(settings.state_directory):
            asyncio.run(OrderlyStop().run(partial(_reset, settings, images=images)))


async def _run(settings: AgentSettings, stop: OrderlyStop) -> None:
    limit_malloc()
    from agent import app  # after the options are validated: it loads gRPC

    await app.run(settings, stop)


async def _reset(settings: AgentSettings, *, images: bool) -> None:
    from agent import reset as work  # as above

    await work.reset(settings, images=images)


def _exit_code(error: ShoalError) -> int:
    return WRONG_RELEASE if isinstance(error, WrongRelease) else FAILURE


@contextmanager
def state_directory_lock(directory: Path, *, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Lock the state directory against a second agent; the lock ends with the process.

    Args:
        seconds: how long to wait for an agent that is ending.
    Raises:
        Refused: another agent holds it. Unavailable: it cannot be created.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Unavailable(f"cannot use {directory}: {error.strerror}; run the agent as root") from error
    try:
        if not _lock_within(handle, seconds):
            raise Refused(f"an agent is already running with {directory}; stop it first")
        yield
    finally:
        os.close(handle)


def _lock_within(handle: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOCK_POLL_SECONDS)
        else:
            return True
