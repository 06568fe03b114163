"""`shoal stack …`."""

import time
from collections.abc import Iterable, Sequence

import click

from cli.client import Client
from cli.commands import stack_build, stack_deploy, stack_logs
from cli.commands.common.common_options import (
    detach_option,
    examples,
    format_option,
    pass_client,
    quiet_option,
    wait_option,
)
from cli.commands.common.for_each import for_each
from cli.commands.common.listing_options import filter_option, no_trunc_option
from cli.commands.common.name_completion import names_of
from cli.commands.common.task_listing import TaskListing, task_listing_options
from cli.commands.service.service_listing import COLUMNS as SERVICE_COLUMNS
from cli.commands.service.service_listing import service_row
from cli.convergence import NOT_CONVERGED, wait
from cli.fields.row_fields import STACKS as NAMES
from cli.render.error_lines import CommandFailed
from cli.render.table import print_listing
from shoal.api.v1.control_pb2 import (
    ListNetworksRequest,
    ListServicesRequest,
    ListTasksRequest,
    RemoveStackRequest,
    ServiceView,
)
from shoal.errors import NotFound
from shoal.filters.service_filters import SERVICES

POLL_SECONDS = 0.05


@click.group("stack")
def command() -> None:
    """Manage stacks."""


command.add_command(stack_deploy.deploy)
command.add_command(stack_build.build)
command.add_command(stack_deploy.diff)
command.add_command(stack_deploy.config)
command.add_command(stack_logs.logs)


@command.command("ls", epilog=examples("shoal stack ls", "shoal stack ls --format '{{.Name}}'"))
@format_option
@click.option("-q", "--quiet", is_flag=True, help="Only display names.")
@pass_client
def list_stacks(client: Client, *, form: str, quiet: bool) -> None:
    """List stacks."""
    views = client.call(client.control.ListServices, ListServicesRequest()).services
    print_listing(
        stack_rows(views), ("name", "services", "tasks"), form=form, quiet="name" if quiet else None, names=NAMES
    )


def stack_rows(views: Iterable[ServiceView]) -> list[dict[str, object]]:
    """A row of the listing for each stack."""
    stacks: dict[str, dict[str, int]] = {}
    for view in views:
        if view.service.spec.stack:
            counts = stacks.setdefault(view.service.spec.stack, {"services": 0, "desired": 0, "running": 0})
            counts["services"] += 1
            counts["desired"] += view.desired
            counts["running"] += view.running + view.completed  # a job that has finished lacks nothing
    return [
        {"name": name, **counts, "tasks": f"{counts['running']}/{counts['desired']}"}
        for name, counts in sorted(stacks.items())
    ]


@command.command("services", epilog=examples("shoal stack services shop"))
@filter_option(SERVICES)
@format_option
@quiet_option
@no_trunc_option
@click.argument("stack", shell_complete=names_of("stack"))
@pass_client
def services(client: Client, *, stack: str, filters: tuple[str, ...], form: str, quiet: bool, no_trunc: bool) -> None:
    """List the services in a stack."""
    keeps = SERVICES.parse(filters)
    views = client.call(client.control.ListServices, ListServicesRequest(stack=stack)).services
    if not views:
        raise NotFound(f"stack {stack!r} not found; list stacks with `shoal stack ls`")
    rows = [service_row(view, no_trunc=no_trunc) for view in views if keeps(view)]
    print_listing(rows, SERVICE_COLUMNS, form=form, quiet="id" if quiet else None)


@command.command("ps", epilog=examples("shoal stack ps shop", "shoal stack ps --running --format json shop"))
@click.option(
    "--all/--running", "everything", default=True, help="Show all tasks (default) or only tasks that have not ended."
)
@task_listing_options
@click.argument("stack", shell_complete=names_of("stack"))
@pass_client
def tasks(
    client: Client,
    *,
    stack: str,
    everything: bool,
    listing: TaskListing,
) -> None:
    """List the tasks in a stack."""
    keeps = listing.predicate(client)
    views = client.call(client.control.ListTasks, ListTasksRequest(stack=stack, include_ended=everything)).tasks
    if not views and not client.call(client.control.ListServices, ListServicesRequest(stack=stack)).services:
        raise NotFound(f"stack {stack!r} not found; list stacks with `shoal stack ls`")
    listing.show(filter(keeps, views))


@command.command("rm", epilog=examples("shoal stack rm shop", "shoal stack rm --detach shop test"))
@detach_option
@wait_option
@click.argument("stacks", nargs=-1, required=True, shell_complete=names_of("stack"))
@pass_client
def remove(client: Client, *, stacks: tuple[str, ...], detach: bool, timeout: float) -> None:
    """Remove one or more stacks. Their volumes are kept."""
    services: list[str] = []
    networks: list[str] = []
    names: dict[str, str] = {}

    def remove_one(stack: str) -> None:
        views = client.call(client.control.ListServices, ListServicesRequest(stack=stack)).services
        names.update((view.service.meta.id, view.service.spec.name) for view in views)
        response = client.call(client.control.RemoveStack, RemoveStackRequest(stack=stack))
        services.extend(response.services)
        networks.extend(response.networks)
        click.echo(stack)

    outcome = for_each(stacks, remove_one)
    begun = time.monotonic()
    if services and not detach:
        wait(client, services, seconds=timeout, until_removed=True, names=names)
    if not detach:
        _wait_for_networks(client, networks, until=begun + timeout)
    outcome.exit_if_failed()


def _wait_for_networks(client: Client, identifiers: Sequence[str], *, until: float) -> None:
    """A network goes once the last address on it is free, a moment after the last task."""
    while identifiers:
        views = client.call(client.control.ListNetworks, ListNetworksRequest()).networks
        left = [view.network.spec.name for view in views if view.network.meta.id in identifiers]
        if not left:
            return
        if time.monotonic() > until:
            raise CommandFailed(
                f"timed out waiting for removal of network {', '.join(left)}; it continues in the background",
                NOT_CONVERGED,
            )
        time.sleep(POLL_SECONDS)
