"""What `service ps`, `stack ps`, `node ps` and `task ls` share."""

import functools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from cli.client import Client
from cli.commands.common.common_options import format_option, quiet_option
from cli.commands.common.listing_options import CommandFunction, filter_option, no_resolve_option, no_trunc_option
from cli.fields.row_fields import TASKS as NAMES
from cli.render import task_rows
from cli.render.table import print_listing
from shoal.api.v1.control_pb2 import ListServicesRequest, TaskView
from shoal.filters.task_filters import TASKS, task_filters


@dataclass(frozen=True)
class TaskListing:
    """What the user wants to see.

    Attributes:
        no_trunc: names with the tasks' ids, images with their digests; no_resolve: ids in place of names.
    """

    filters: tuple[str, ...]
    form: str
    quiet: bool
    no_trunc: bool
    no_resolve: bool

    def predicate(self, client: Client) -> Callable[[TaskView], bool]:
        """What the filters keep; services are asked for their labels only when a filter is about those.

        Raises:
            InvalidInput: with all faults.
        """
        keeps = TASKS.parse(self.filters)
        if not any(text.partition("=")[0].strip().lower() == "label" for text in self.filters):
            return keeps
        views = client.call(client.control.ListServices, ListServicesRequest()).services
        return task_filters({view.service.meta.id: view.service.spec.labels for view in views}).parse(self.filters)

    def show(self, views: Iterable[TaskView]) -> None:
        """Print the listing."""
        rows = task_rows.rows(views, int(time.time() * 1000), no_trunc=self.no_trunc, no_resolve=self.no_resolve)
        print_listing(rows, task_rows.COLUMNS, form=self.form, quiet="id" if self.quiet else None, names=NAMES)


def task_listing_options(command: CommandFunction) -> CommandFunction:
    """Add the options of a listing of tasks; the command gets them together, as `listing`."""

    @filter_option(TASKS)
    @format_option
    @quiet_option
    @no_trunc_option
    @no_resolve_option
    @functools.wraps(command)
    def listed(
        *arguments: Any, filters: tuple[str, ...], form: str, quiet: bool, no_trunc: bool, no_resolve: bool, **more: Any
    ) -> Any:
        listing = TaskListing(filters, form, quiet, no_trunc, no_resolve)
        return command(*arguments, listing=listing, **more)

    return listed
