"""What `service ps`, `stack ps`, `node ps` and `task ls` share."""

import time
from collections.abc import Callable, Iterable, Sequence

from cli.client import Client
from cli.fields.rows import TASKS as NAMES
from cli.render import tasks as task_rows
from cli.render.table import show
from shoal.api.v1.control_pb2 import ListServicesRequest, TaskView
from shoal.filters.tasks import TASKS, task_filters


def keeps_tasks(client: Client, filters: Sequence[str]) -> Callable[[TaskView], bool]:
    """What the filters keep; services are asked for their labels only when a filter is about those.

    Raises:
        InvalidInput: with all faults.
    """
    keeps = TASKS.parse(filters)
    if not any(text.partition("=")[0].strip().lower() == "label" for text in filters):
        return keeps
    views = client.call(client.control.ListServices, ListServicesRequest()).services
    return task_filters({view.service.meta.id: view.service.spec.labels for view in views}).parse(filters)


def show_tasks(views: Iterable[TaskView], *, form: str, quiet: bool, no_trunc: bool, no_resolve: bool) -> None:
    """Print the listing.

    Args:
        no_trunc: names with the tasks' ids, images with their digests; no_resolve: ids in place of names.
    """
    rows = task_rows.rows(views, now_ms=int(time.time() * 1000), no_trunc=no_trunc, no_resolve=no_resolve)
    show(rows, task_rows.COLUMNS, form=form, quiet="id" if quiet else None, names=NAMES)
