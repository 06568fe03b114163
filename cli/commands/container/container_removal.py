"""`shoal rm`, `shoal container prune`."""

import time
from collections.abc import Sequence

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.common.for_each import print_each
from cli.commands.common.name_completion import names_of
from cli.commands.common.relative_time import parse_time_ns
from cli.commands.container.container_calls import LONG_SECONDS, containers
from shoal.api.v1.engine_pb2 import Filter, PruneContainersRequest, RemoveContainerRequest, RemoveContainersResponse
from shoal.container_ids import container_id
from shoal.docker_units import docker_size
from shoal.errors import Fault, InvalidInput

PRUNE_KEYS = ("until", "label", "label!")


@click.command(
    "rm",
    epilog=examples("shoal rm db", "shoal rm --force --volumes db cache", "shoal rm --volumes old-db"),
)
@click.option("-f", "--force", is_flag=True, help="Force the removal of a running container (uses SIGKILL).")
@click.option("-l", "--link", is_flag=True, help="Not supported: a link goes with the container that has it.")
@click.option("-v", "--volumes", is_flag=True, help="Remove anonymous volumes associated with the container.")
@click.argument("names", metavar="CONTAINER...", nargs=-1, required=True, shell_complete=names_of("container"))
@pass_client
def remove(client: Client, *, names: tuple[str, ...], force: bool, link: bool, volumes: bool) -> None:
    """Remove one or more containers with their files and logs. Named volumes stay."""
    if link:
        raise InvalidInput("--link: not supported: a link goes with the container that has it")

    def remove_one(name: str) -> None:
        request = RemoveContainerRequest(container=name, force=force, remove_volumes=volumes)
        client.call(containers(client).RemoveContainer, request, seconds=LONG_SECONDS)

    print_each(names, remove_one)


@click.command(
    "prune",
    epilog=examples("shoal container prune", "shoal container prune --force --filter until=24h --filter label!=keep"),
)
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation.")
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="KEY=VALUE",
    help="Keys: label, label!, until (24h or a time).",
)
@pass_client
def prune(client: Client, *, force: bool, filters: tuple[str, ...]) -> None:
    """Remove all stopped containers with their files and logs."""
    given = prune_filters(filters, time.time_ns())
    if not force:
        text = "WARNING! This will remove all stopped containers.\nAre you sure you want to continue?"
        click.confirm(text, abort=True, err=True)
    done = prune_containers(client, given)
    if done.ids:
        click.echo("Deleted Containers:")
        for identifier in done.ids:
            click.echo(container_id(identifier))
        click.echo()
    click.echo(f"Total reclaimed space: {docker_size(done.reclaimed_bytes)}")


def prune_containers(client: Client, filters: Sequence[Filter]) -> RemoveContainersResponse:
    """Remove those that do not run."""
    request = PruneContainersRequest(filters=filters)
    return client.call(containers(client).PruneContainers, request, seconds=LONG_SECONDS)


def prune_filters(texts: Sequence[str], now_ns: int) -> list[Filter]:
    """Filters for a request; times as milliseconds since the Unix epoch.

    Raises:
        InvalidInput: with all faults.
    """
    found, faults = [], []
    for text in texts:
        key, sign, value = text.partition("=")
        if text.startswith("label!="):
            key, value = "label!", text.removeprefix("label!=")
        if not sign or key not in PRUNE_KEYS:
            allowed = ", ".join(PRUNE_KEYS)
            why = (
                f"unknown key {key!r}; allowed keys are {allowed}"
                if sign
                else f"{text!r} must be in the form KEY=VALUE"
            )
            faults.append(Fault("", f"--filter: {why}"))
            continue
        try:
            moment = str(parse_time_ns("--filter", value, now_ns) // 1_000_000) if key == "until" else value
            found.append(Filter(key=key, value=moment))
        except InvalidInput as error:
            faults += error.faults
    if faults:
        raise InvalidInput(faults)
    return found
