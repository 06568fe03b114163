"""`shoal service rebalance`."""

import time

import click

from cli.client import Client
from cli.commands.arguments import detach_option, examples, format_option, pass_client, wait_option
from cli.commands.complete import names_of
from cli.converge import wait
from cli.render.table import show
from shoal.api.v1.control_pb2 import GetServiceRequest, RebalanceServiceRequest
from shoal.errors import Timeout

_POLL_SECONDS = 0.5

COLUMNS = ("task", "from", "to")


@click.command("rebalance", epilog=examples("shoal service rebalance --dry-run web", "shoal service rebalance web"))
@click.option("--dry-run", is_flag=True, help="Show what would move, and move nothing.")
@format_option
@detach_option
@wait_option
@click.argument("service", shell_complete=names_of("service"))
@pass_client
def rebalance(client: Client, *, service: str, dry_run: bool, form: str, detach: bool, timeout: float) -> None:
    """Even the tasks of SERVICE out over the nodes, as few moves as can be, a few at a time.

    Nodes are shown that have room now; where a task really goes is decided when its successor is started.
    """
    identifier = client.call(client.control.GetService, GetServiceRequest(service=service)).service.meta.id
    request = RebalanceServiceRequest(service=identifier, dry_run=dry_run)
    moves = client.call(client.control.RebalanceService, request).moves
    rows = [{"task": move.name, "from": move.from_hostname, "to": move.to_hostname} for move in moves]
    show(rows, COLUMNS, form=form)
    if moves and not dry_run and not detach:
        _until_even(client, identifier, timeout)
        wait(client, [identifier], seconds=timeout)


def _until_even(client: Client, service: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    request = RebalanceServiceRequest(service=service, dry_run=True)
    while left := len(client.call(client.control.RebalanceService, request).moves):
        if time.monotonic() > until:
            raise Timeout(f"{left} tasks have not moved within {seconds:g} s; the planner goes on with them")
        time.sleep(_POLL_SECONDS)
