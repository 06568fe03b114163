"""`shoal service …`. The commands are beside this file; this puts them together."""

import click

from cli.commands.service.change import remove, rollback, scale, update
from cli.commands.service.create import create
from cli.commands.service.logs import logs
from cli.commands.service.look import inspect, list_services, tasks
from cli.commands.service.rebalance import rebalance
from cli.commands.service.revisions import diff, history
from cli.commands.service.steer import pause, promote, resume


@click.group("service")
def command() -> None:
    """Manage services."""


for part in (
    create,
    update,
    scale,
    rollback,
    remove,
    list_services,
    tasks,
    inspect,
    logs,
    history,
    diff,
    pause,
    resume,
    promote,
    rebalance,
):
    command.add_command(part)
