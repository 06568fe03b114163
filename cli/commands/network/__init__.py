"""`shoal network …`."""

import click

from cli.commands.network.attach import connect, disconnect
from cli.commands.network.change import create, prune, remove
from cli.commands.network.check import check
from cli.commands.network.look import inspect, list_networks


@click.group("network")
def command() -> None:
    """Manage networks."""


for part in (list_networks, create, inspect, remove, prune, connect, disconnect, check):
    command.add_command(part)
