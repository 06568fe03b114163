"""`shoal task …`."""

import click

from cli.client import Client
from cli.commands.arguments import examples, inspect_format_option, pass_client
from cli.commands.complete import names_of
from cli.commands.inspect import inspect_each
from cli.commands.task_listing import TaskListing, lists_tasks
from cli.go_template.values import Record
from cli.render.structure import to_document
from cli.render.task_path import path_of
from shoal.api.v1.control_pb2 import ListTasksRequest, TaskView
from shoal.errors import NotFound


@click.group("task")
def command() -> None:
    """Look at single tasks."""


@command.command("ls", epilog=examples("shoal task ls", "shoal task ls --all --filter node=h1 --format json"))
@click.option("--all", "everything", is_flag=True, help="Ended tasks too.")
@lists_tasks
@pass_client
def list_tasks(
    client: Client,
    *,
    everything: bool,
    listing: TaskListing,
) -> None:
    """List the tasks of all services."""
    keeps = listing.keeps(client)
    views = client.call(client.control.ListTasks, ListTasksRequest(all=everything)).tasks
    listing.show(filter(keeps, views))


@command.command("inspect", epilog=examples("shoal task inspect 0y7m", "shoal task inspect --format json 0y7m 91kd"))
@inspect_format_option
@click.argument("tasks", nargs=-1, required=True, shell_complete=names_of("task"))
@pass_client
def inspect(client: Client, *, tasks: tuple[str, ...], form: str) -> None:
    """Show everything about TASKS (ids, or their beginnings)."""
    views = client.call(client.control.ListTasks, ListTasksRequest(all=True)).tasks

    def get(task: str) -> TaskView:
        found = [view for view in views if view.task.id.startswith(task)]
        if len(found) != 1:
            raise NotFound(f"{'no' if not found else 'more than one'} task has an id that begins with {task!r}")
        return found[0]

    def document(view: TaskView) -> dict[str, object]:
        return {**to_document(view), "path": path_of(view)}

    def fields(view: TaskView) -> Record:
        from cli.fields.task import task_fields

        return task_fields(view)

    inspect_each(tasks, get, form=form, document=document, fields=fields)
