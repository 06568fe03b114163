"""`shoal task …`."""

from collections.abc import Sequence

import click

from cli.client import Client
from cli.commands.common.common_options import examples, inspect_format_option, pass_client
from cli.commands.common.inspect_objects import inspect_each
from cli.commands.common.name_completion import names_of
from cli.commands.common.task_listing import TaskListing, task_listing_options
from cli.go_template.template_values import FieldRecord
from cli.render.documents import to_document
from cli.render.state_history import state_history
from shoal.api.v1.control_pb2 import ListTasksRequest, TaskView
from shoal.errors import NotFound


@click.group("task")
def command() -> None:
    """List and inspect tasks."""


@command.command("ls", epilog=examples("shoal task ls", "shoal task ls --all --filter node=h1 --format json"))
@click.option("--all", "everything", is_flag=True, help="Include tasks that have ended.")
@task_listing_options
@pass_client
def list_tasks(
    client: Client,
    *,
    everything: bool,
    listing: TaskListing,
) -> None:
    """List the tasks of all services."""
    keeps = listing.predicate(client)
    views = client.call(client.control.ListTasks, ListTasksRequest(include_ended=everything)).tasks
    listing.show(filter(keeps, views))


@command.command("inspect", epilog=examples("shoal task inspect 0y7m", "shoal task inspect --format json 0y7m 91kd"))
@inspect_format_option
@click.argument("tasks", nargs=-1, required=True, shell_complete=names_of("task"))
@pass_client
def inspect(client: Client, *, tasks: tuple[str, ...], form: str) -> None:
    """Display detailed information on one or more tasks (IDs or ID prefixes)."""
    views = list_all(client)

    def get(task: str) -> TaskView:
        return find_task(views, task)

    def fields(view: TaskView) -> FieldRecord:
        from cli.fields.task_fields import task_fields

        return task_fields(view)

    inspect_each(tasks, get, form=form, document=document, fields=fields)


def list_all(client: Client) -> Sequence[TaskView]:
    """All tasks, also those that have ended."""
    return client.call(client.control.ListTasks, ListTasksRequest(include_ended=True)).tasks


def find_task(views: Sequence[TaskView], task: str) -> TaskView:
    """The task whose ID begins so.

    Raises:
        NotFound: none, or several.
    """
    found = [view for view in views if view.task.id.startswith(task)]
    if len(found) != 1:
        raise NotFound(f"{'no' if not found else 'more than one'} task has an ID that starts with {task!r}")
    return found[0]


def document(view: TaskView) -> dict[str, object]:
    """A task as `inspect` shows it: with its states so far."""
    return {**to_document(view), "path": state_history(view)}
