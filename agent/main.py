"""`shoal-agent`: the command line of the agent."""

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import click

from agent.allocator import keep_memory_small
from agent.cdi import DIRECTORIES
from agent.settings import (
    CLOSED_PORTS,
    REGISTRIES_FILE,
    RUN_DIRECTORY,
    STATE_DIRECTORY,
    STREAM_PORT,
    VXLAN_PORT,
    AgentSettings,
)
from shoal.errors import Refused, ShoalError, Unavailable
from shoal.overlay_encryption import AUTO, CHOICES
from shoal.telemetry import logs

Command = Callable[..., Any]


class DefaultsToRun(click.Group):
    """`shoal-agent --join …` is `shoal-agent run --join …`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = [*self.commands, "--help", "-h", "--version"]
        return super().parse_args(ctx, args if args[:1] and args[0] in words else ["run", *args])


def _option(name: str, *, help: str, **more: Any) -> Callable[[Command], Command]:  # noqa: A002  # click's word
    variable = "SHOAL_AGENT_" + name.removeprefix("--").replace("-", "_").upper()
    return click.option(name, envvar=variable, show_envvar=True, help=help, **more)


_PATH = click.Path(path_type=Path)


def _places(command: Command) -> Command:
    for option in (
        _option("--log-level", default="info", type=click.Choice(logs.LEVELS), show_default=True, help="Least level."),
        _option("--run-directory", default=RUN_DIRECTORY, type=_PATH, show_default=True, help="For a tmpfs of ours."),
        _option("--state-directory", default=STATE_DIRECTORY, type=_PATH, show_default=True, help="Kept on disk."),
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
      shoal-agent reset                                      stop every container and undo all but images and volumes
    """


@main.command()
@_places
@_option("--join", default="", metavar="HOST:PORT", help="Where a manager lets nodes join; for the first start.")
@_option("--token", default="", metavar="TOKEN", help="Join token; --token-file keeps it out of the process list.")
@_option("--token-file", default=None, type=_PATH, help="File with the join token.")
@_option(
    "--hostname", default="", help="Name of the node, the host's own by default; after joining, a user accepts changes."
)
@_option("--advertise-address", default="", metavar="ADDRESS", help="Where others reach this node, by IPv4 or IPv6.")
@_option("--advertise-interface", default="", metavar="NAME", help="Interface whose address is advertised.")
@_option("--stream-port", default=STREAM_PORT, show_default=True, help="TCP port for managers that read logs.")
@_option("--local-pool", default="", metavar="CIDR", help="For containers without a network; chosen by default.")
@_option("--vxlan-port", default=VXLAN_PORT, show_default=True, help="UDP port of the tunnels, the same on all nodes.")
@_option("--closed-ports", default=CLOSED_PORTS, show_default=True, help="TCP ports of hosts, closed to containers.")
@_option("--registries-file", default=REGISTRIES_FILE, type=_PATH, show_default=True, help="Registries, TOML.")
@_option(
    "--overlay-encryption",
    default=AUTO,
    type=click.Choice(CHOICES),
    show_default=True,
    help="For encrypted networks: what the kernel has, or one of them alone.",
)
@_option("--parallel-starts", default=4, show_default=True, help="Containers started at once.")
@_option("--resource", multiple=True, metavar="KIND=…", help="Generic resource: gpu=2 or gpu=GPU-1,GPU-2.")
@_option(
    "--label",
    multiple=True,
    metavar="NAME=VALUE",
    help="Label of this host, engine.labels.NAME in constraints; after joining, a user accepts changes.",
)
@_option("--cdi-directory", multiple=True, default=DIRECTORIES, type=_PATH, show_default=True, help="CDI specs.")
@_option("--csi", multiple=True, metavar="NAME=unix:///PATH", help="Socket of a CSI driver for volumes.")
@_option("--csi-timeout-seconds", default=30.0, show_default=True, help="How long a call of a CSI driver may take.")
@_option("--log-json", is_flag=True, help="One JSON object a line.")
def run(**options: Any) -> None:
    """Run the agent, joining first when this host is no node yet.

    SIGTERM ends the agent; its containers run on, and the next agent finds them.

    \b
    Examples:
      shoal-agent run --join manager1:7442 --token-file /etc/shoal/join-token
      shoal-agent run --advertise-interface eth1 --hostname worker-3
    """
    with _failures():
        settings = AgentSettings(**options)
        logs.configure(settings.log_level, json=settings.log_json)
        with _only_agent(settings.state_directory):
            asyncio.run(_until_told(partial(_run, settings)))


@main.command()
@_places
@click.option("--all", "images", is_flag=True, help="Remove images, and the data of volumes, too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(images: bool, yes: bool, **options: Any) -> None:
    """Stop every container of this agent and undo all that it made on this host. The agent must not run.

    Containers, their logs, cgroups, mounts, links, nft tables, the journal and the node's identity go; images and the
    data of volumes stay unless --all is given. Remove the node from the cluster with `shoal node rm` beforehand or
    afterwards.

    \b
    Examples:
      shoal-agent reset
      shoal-agent reset --all --yes
    """
    with _failures():
        settings = AgentSettings(**options)
        logs.configure(settings.log_level, json=False)
        if not yes:
            click.confirm("This stops every container of this node. Go on?", abort=True)
        with _only_agent(settings.state_directory):
            asyncio.run(_until_told(partial(_reset, settings, images=images)))


async def _run(settings: AgentSettings) -> None:
    keep_memory_small()
    from agent import app  # after the options are known to be right: it loads gRPC

    await app.run(settings)


async def _reset(settings: AgentSettings, *, images: bool) -> None:
    from agent import reset as work  # as above

    await work.reset(settings, images=images)


async def _until_told(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Until it is done, or a signal ends it in good order."""
    loop, doing = asyncio.get_running_loop(), asyncio.current_task()
    assert doing is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, doing.cancel)
    with suppress(asyncio.CancelledError):
        await work()


@contextmanager
def _failures() -> Iterator[None]:
    """A `ShoalError` is one line and exit code 1; anything else is a fault of ours and keeps its trace."""
    try:
        yield
    except (ShoalError, BaseExceptionGroup) as error:
        known = _known(error)
        if known is None:
            raise
        click.echo(f"shoal-agent: {logs.without_secrets(str(known))}", err=True)
        sys.exit(1)


def _known(error: BaseException) -> ShoalError | None:
    """The error of ours in a tree of exception groups, when it holds no other."""
    if isinstance(error, BaseExceptionGroup):
        return _known(error.exceptions[0]) if len(error.exceptions) == 1 else None
    return error if isinstance(error, ShoalError) else None


@contextmanager
def _only_agent(directory: Path) -> Iterator[None]:
    """Hold the state directory: two agents on one would spoil each other's work. It is let go with the process.

    Raises:
        Refused: another agent holds it. Unavailable: it cannot be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Unavailable(f"cannot use {directory}: {error.strerror}; run as root") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Refused(f"an agent runs with {directory} already; stop it first") from None
    finally:
        os.close(handle)
