"""`shoal stop`, `restart`, `kill`, `pause`, `unpause`: what is done to containers, several at once."""

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.common.for_each import print_each
from cli.commands.common.name_completion import names_of
from cli.commands.container.container_calls import LONG_SECONDS, containers
from shoal.api.v1.engine_pb2 import KillContainerRequest, PauseContainerRequest, StopContainerRequest
from shoal.api.v1.standalone_pb2 import ContainerStop

signal_option = click.option("-s", "--signal", default="", metavar="SIGNAL", help="Signal to send to the container.")
timeout_option = click.option(
    "-t",
    "--timeout",
    "--time",
    type=click.IntRange(min=-1),
    metavar="SECONDS",
    help="Seconds to wait before killing the container; -1 = wait forever (default: the container's own, 10).",
)


@click.command("stop", epilog=examples("shoal stop db", "shoal stop --timeout 60 db cache", "shoal stop -s INT db"))
@signal_option
@timeout_option
@click.argument("names", metavar="CONTAINER...", nargs=-1, required=True, shell_complete=names_of("running container"))
@pass_client
def stop(client: Client, *, names: tuple[str, ...], signal: str, timeout: int | None) -> None:
    """Stop one or more running containers.

    Sends the stop signal, and SIGKILL to what still runs after the timeout. A stopped container keeps its files, and
    its restart policy does not start it again.
    """

    def stop_one(name: str) -> None:
        request = StopContainerRequest(container=name, stop=stop_request(signal, timeout))
        client.call(containers(client).StopContainer, request, seconds=LONG_SECONDS)

    print_each(names, stop_one)


@click.command("restart", epilog=examples("shoal restart db", "shoal restart --timeout 60 db cache"))
@signal_option
@timeout_option
@click.argument("names", metavar="CONTAINER...", nargs=-1, required=True, shell_complete=names_of("container"))
@pass_client
def restart(client: Client, *, names: tuple[str, ...], signal: str, timeout: int | None) -> None:
    """Restart one or more containers: stop them, if they run, and start them again with the same files."""

    def restart_one(name: str) -> None:
        request = StopContainerRequest(container=name, stop=stop_request(signal, timeout))
        client.call(containers(client).RestartContainer, request, seconds=LONG_SECONDS)

    print_each(names, restart_one)


@click.command("kill", epilog=examples("shoal kill db", "shoal kill --signal HUP proxy"))
@click.option("-s", "--signal", default="", metavar="SIGNAL", help="Signal to send to the container (default SIGKILL).")
@click.argument("names", metavar="CONTAINER...", nargs=-1, required=True, shell_complete=names_of("running container"))
@pass_client
def kill(client: Client, *, names: tuple[str, ...], signal: str) -> None:
    """Send a signal to the main process of one or more running containers. Their restart policies leave them then."""

    def kill_one(name: str) -> None:
        client.call(containers(client).KillContainer, KillContainerRequest(container=name, signal=signal))

    print_each(names, kill_one)


@click.command("pause", epilog=examples("shoal pause db"))
@click.argument("names", metavar="CONTAINER...", nargs=-1, required=True, shell_complete=names_of("running container"))
@pass_client
def pause(client: Client, *, names: tuple[str, ...]) -> None:
    """Pause all processes within one or more containers."""
    print_each(names, lambda name: _pause(client, name, unpause=False))


@click.command("unpause", epilog=examples("shoal unpause db"))
@click.argument("names", metavar="CONTAINER...", nargs=-1, required=True, shell_complete=names_of("paused container"))
@pass_client
def unpause(client: Client, *, names: tuple[str, ...]) -> None:
    """Unpause all processes within one or more containers."""
    print_each(names, lambda name: _pause(client, name, unpause=True))


def stop_request(signal: str, timeout: int | None) -> ContainerStop:
    """How to stop a container. Args: timeout: seconds; -1: wait forever; None: as the container says."""
    stop = ContainerStop(signal=signal)
    if timeout is not None:
        stop.grace_ms = timeout * 1000 if timeout >= 0 else -1
    return stop


def _pause(client: Client, name: str, *, unpause: bool) -> None:
    client.call(containers(client).PauseContainer, PauseContainerRequest(container=name, unpause=unpause))
