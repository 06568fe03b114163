"""`shoal manager …`."""

from collections.abc import Sequence

import click

from cli.client import Client
from cli.commands.common.common_options import examples, format_option, pass_client, quiet_option
from cli.commands.common.for_each import for_each
from cli.commands.common.listing_options import filter_option, ignored_no_trunc_option
from cli.commands.common.name_completion import names_of
from cli.render.documents import print_documents
from cli.render.release_notes import mixed_releases
from cli.render.table import natural_order, print_listing
from cli.render.task_rows import timestamp
from shoal.api.v1.cluster_pb2 import ManagerMembership
from shoal.api.v1.control_pb2 import ListManagersRequest, ManagerView, PromoteManagerRequest, RemoveManagerRequest
from shoal.errors import InvalidInput, NotFound
from shoal.filters.manager_filters import MANAGERS, status_of

REMOVAL_SECONDS = 40.0
"""The leader removes the manager's etcd first."""
COLUMNS = ("id", "status", "leader", "etcd", "address", "nodes", "version")

UNKNOWN = {"status": "unknown", "leader": ""}
"""As a manager that is disconnected from etcd knows the others, and itself."""


@click.group("manager")
def command() -> None:
    """Manage managers."""


@command.command(
    "ls", epilog=examples("shoal manager ls", "shoal manager ls --filter status=down", "shoal manager ls --format json")
)
@filter_option(MANAGERS)
@format_option
@quiet_option
@ignored_no_trunc_option
@pass_client
def list_managers(client: Client, *, filters: tuple[str, ...], form: str, quiet: bool) -> None:
    """List managers.

    A manager that is not running is listed as down until you remove it. While no majority of managers runs, the
    status of all is unknown. While you upgrade managers one by one, a note says how many are of which release.
    """
    keeps = MANAGERS.parse(filters)
    response = client.call(client.control.ListManagers, ListManagersRequest())
    views = sorted(filter(keeps, response.managers), key=lambda view: natural_order(view.manager.api_address))
    rows = [{**row(view), **(UNKNOWN if client.answers_are_stale else {})} for view in views]
    print_listing(rows, COLUMNS, form=form, quiet="id" if quiet else None)
    if quiet or client.answers_are_stale:
        return
    for view in response.managers:
        if view.membership.problem:
            click.echo(f"manager {view.manager.id}: {view.membership.problem}", err=True)
    running = [view for view in response.managers if view.alive]
    for note in (
        mixed_releases("managers", [view.manager.version for view in running]),
        mixed_releases("the etcds of managers", [view.etcd_version for view in running]),
    ):
        if note:
            click.echo(note, err=True)
    if response.warning:
        click.echo(f"WARNING: {response.warning}", err=True)
    if response.backup_problem:
        click.echo(f"WARNING: {response.backup_problem}", err=True)


@command.command("inspect", epilog=examples("shoal manager inspect 4m2k7x0q9z1ab"))
@click.argument("managers", nargs=-1, required=True, metavar="MANAGER...", shell_complete=names_of("manager"))
@format_option
@pass_client
def inspect(client: Client, *, managers: tuple[str, ...], form: str) -> None:
    """Display detailed information about one or more managers."""
    response = client.call(client.control.ListManagers, ListManagersRequest())
    found = [_find(response.managers, each) for each in managers]
    about = {"voters": response.voters, "tolerated_failures": response.tolerated_failures, "warning": response.warning}
    print_documents([{**row(view), **_membership(view), "cluster": about} for view in found], form=form)


def _find(views: Sequence[ManagerView], reference: str) -> ManagerView:
    found = [each for each in views if each.manager.id.startswith(reference)]
    exact = [each for each in found if each.manager.id == reference] or found
    if len(exact) > 1:
        raise InvalidInput(
            f'manager ID prefix "{reference}" is ambiguous: it matches {len(exact)} IDs; use a longer prefix'
        )
    if not exact:
        raise NotFound(f'manager "{reference}" not found; list managers with `shoal manager ls`')
    return exact[0]


def _membership(view: ManagerView) -> dict[str, object]:
    known = view.membership
    return {
        "etcd_peer_address": known.peer_address,
        "etcd_version": view.etcd_version,
        "etcd_member_id": f"{known.member_id:x}" if known.member_id else "",
        "etcd_since": timestamp(known.since_ms) if known.since_ms else "",
        "problem": known.problem,
    }


def row(view: ManagerView) -> dict[str, object]:
    """A row of the listing."""
    return {
        "id": view.manager.id,
        "status": status_of(view),
        "leader": "leader" if view.leader else "",
        "etcd": ManagerMembership.State.Name(view.membership.state).lower() if view.membership.state else "",
        "address": view.manager.api_address,
        "join_address": view.manager.join_address,
        "nodes": view.nodes,
        "version": view.manager.version,
        "started_at": timestamp(view.started_at_ms) if view.started_at_ms else "",
    }


@command.command("rm", epilog=examples("shoal manager rm 4m2k7x0q9z1ab", "shoal manager rm 4m2 9fd"))
@click.argument("managers", nargs=-1, required=True, metavar="MANAGER...", shell_complete=names_of("manager"))
@click.option("-f", "--force", is_flag=True, help="Remove a manager that is running, too.")
@pass_client
def remove(client: Client, *, managers: tuple[str, ...], force: bool) -> None:
    """Remove one or more managers that are down.

    Their addresses are removed from nodes and contexts, and their etcd from the cluster's. To be a manager again, such
    a host has to join again. With an external etcd, a manager that starts again is listed again.
    """

    def remove_one(manager: str) -> None:
        request = RemoveManagerRequest(manager=manager, force=force)
        click.echo(client.call(client.control.RemoveManager, request, seconds=REMOVAL_SECONDS).id)

    for_each(managers, remove_one).exit_if_failed()


@command.command("promote", epilog=examples("shoal manager promote 4m2k7x0q9z1ab"))
@click.argument("managers", nargs=-1, required=True, metavar="MANAGER...", shell_complete=names_of("manager"))
@pass_client
def promote(client: Client, *, managers: tuple[str, ...]) -> None:
    """Try again to make one or more managers, whose join failed, voting members.

    A manager that joins is promoted by itself. One whose etcd did not start or catch up is listed as failed, until it
    is promoted or removed.
    """

    def promote_one(manager: str) -> None:
        click.echo(client.call(client.control.PromoteManager, PromoteManagerRequest(manager=manager)).id)

    for_each(managers, promote_one).exit_if_failed()
