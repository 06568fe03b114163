"""`shoal manager …`."""

import click

from cli.client import Client
from cli.commands.common.common_options import examples, format_option, pass_client, quiet_option
from cli.commands.common.for_each import for_each
from cli.render.table import print_listing
from cli.render.task_rows import timestamp
from shoal.api.v1.control_pb2 import ListManagersRequest, ManagerView, RemoveManagerRequest

COLUMNS = ("id", "status", "leader", "address", "nodes", "version")


@click.group("manager")
def command() -> None:
    """List and remove managers."""


@command.command("ls", epilog=examples("shoal manager ls", "shoal manager ls --format json"))
@format_option
@quiet_option
@pass_client
def list_managers(client: Client, *, form: str, quiet: bool) -> None:
    """List managers.

    A manager that is not running is listed as down until you remove it.
    """
    views = client.call(client.control.ListManagers, ListManagersRequest()).managers
    print_listing([row(view) for view in views], COLUMNS, form=form, quiet="id" if quiet else None)


def row(view: ManagerView) -> dict[str, object]:
    """A row of the listing."""
    return {
        "id": view.manager.id,
        "status": "ready" if view.alive else "down",
        "leader": "leader" if view.leader else "",
        "address": view.manager.api_address,
        "join_address": view.manager.join_address,
        "nodes": view.nodes,
        "version": view.manager.version,
        "started_at": timestamp(view.started_at_ms) if view.started_at_ms else "",
    }


@command.command("rm", epilog=examples("shoal manager rm 4m2k7x0q9z1ab", "shoal manager rm 4m2 9fd"))
@click.argument("managers", nargs=-1, required=True, metavar="MANAGER...")
@pass_client
def remove(client: Client, *, managers: tuple[str, ...]) -> None:
    """Remove one or more managers that are down.

    Their addresses are removed from nodes and contexts. A manager that starts again is listed again.
    """

    def remove_one(manager: str) -> None:
        removed = client.call(client.control.RemoveManager, RemoveManagerRequest(manager=manager))
        click.echo(removed.id)

    for_each(managers, remove_one).exit_if_failed()
