"""`shoal service rebalance`."""

import time

import click

from cli.client import Client
from cli.commands.common.common_options import detach_option, examples, format_option, pass_client, wait_option
from cli.commands.common.name_completion import names_of
from cli.convergence import wait
from cli.render.table import print_listing
from shoal.api.v1.control_pb2 import GetServiceRequest, RebalanceServiceRequest
from shoal.errors import Timeout

_POLL_SECONDS = 0.5

COLUMNS = ("task", "from", "to")


@click.command("rebalance", epilog=examples("shoal service rebalance --dry-run web", "shoal service rebalance web"))
@click.option("--dry-run", is_flag=True, help="Show which tasks would move without moving them.")
@format_option
@detach_option
@wait_option
@click.argument("service", shell_complete=names_of("service"))
@pass_client
def rebalance(client: Client, *, service: str, dry_run: bool, form: str, detach: bool, timeout: float) -> None:
    """Rebalance the tasks of a service across nodes with as few moves as possible, a few at a time.

    The displayed target nodes are provisional: the node of a replacement task is chosen when it starts.
    """
    identifier = client.call(client.control.GetService, GetServiceRequest(service=service)).service.meta.id
    request = RebalanceServiceRequest(service=identifier, dry_run=dry_run)
    moves = client.call(client.control.RebalanceService, request).moves
    rows = [{"task": move.name, "from": move.from_hostname, "to": move.to_hostname} for move in moves]
    print_listing(rows, COLUMNS, form=form)
    if moves and not dry_run and not detach:
        _wait_until_balanced(client, identifier, timeout)
        wait(client, [identifier], seconds=timeout)


def _wait_until_balanced(client: Client, service: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    request = RebalanceServiceRequest(service=service, dry_run=True)
    while left := len(client.call(client.control.RebalanceService, request).moves):
        if time.monotonic() > until:
            raise Timeout(f"{left} tasks have not moved within {seconds:g} s; rebalancing continues in the background")
        time.sleep(_POLL_SECONDS)
