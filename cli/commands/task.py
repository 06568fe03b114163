"""`shoal task …`."""

import time

import click

from cli.client import Client
from cli.commands.arguments import examples, format_option, pass_client, quiet_option
from cli.commands.complete import names_of
from cli.commands.inspect import inspect_each
from cli.render import tasks as task_rows
from cli.render.structure import to_document
from cli.render.table import show
from cli.render.task_path import path_of
from shoal.api.v1.control_pb2 import ListTasksRequest
from shoal.errors import NotFound


@click.group("task")
def command() -> None:
    """Look at single tasks."""


@command.command("ls", epilog=examples("shoal task ls", "shoal task ls --all --format json"))
@click.option("--all", "everything", is_flag=True, help="Ended tasks too.")
@format_option
@quiet_option
@pass_client
def list_tasks(client: Client, *, everything: bool, form: str, quiet: bool) -> None:
    """List the tasks of all services."""
    views = client.call(client.control.ListTasks, ListTasksRequest(all=everything)).tasks
    rows = task_rows.rows(views, now_ms=int(time.time() * 1000))
    show(rows, task_rows.COLUMNS, form=form, quiet="id" if quiet else None)


@command.command("inspect", epilog=examples("shoal task inspect 0y7m", "shoal task inspect --format json 0y7m 91kd"))
@format_option
@click.argument("tasks", nargs=-1, required=True, shell_complete=names_of("task"))
@pass_client
def inspect(client: Client, *, tasks: tuple[str, ...], form: str) -> None:
    """Show everything about TASKS (ids, or their beginnings)."""
    views = client.call(client.control.ListTasks, ListTasksRequest(all=True)).tasks

    def look(task: str) -> dict[str, object]:
        found = [view for view in views if view.task.id.startswith(task)]
        if len(found) != 1:
            raise NotFound(f"{'no' if not found else 'more than one'} task has an id that begins with {task!r}")
        return {**to_document(found[0]), "path": path_of(found[0])}

    inspect_each(tasks, look, form=form)
