"""`shoal service history|diff`."""

import difflib
import time

import click

from cli.client import Client
from cli.commands.common.common_options import examples, format_option, pass_client
from cli.commands.common.name_completion import names_of
from cli.render.spec_diff import changed_paths, lines_of
from cli.render.table import print_listing
from cli.render.task_rows import timestamp
from shoal.api.v1.control_pb2 import ListRevisionsRequest, RevisionView
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.errors import NotFound
from shoal.unit_formats import age

COLUMNS = ("revision", "age", "state", "running", "changes")
MAX_CHANGES_SHOWN = 5
"""Fields that a line of the history names."""


@click.command("history", epilog=examples("shoal service history web", "shoal service history --format json web"))
@format_option
@click.argument("service", shell_complete=names_of("service"))
@pass_client
def history(client: Client, *, service: str, form: str) -> None:
    """List the revisions of a service: age, state, running tasks and changes."""
    views = list(client.call(client.control.ListRevisions, ListRevisionsRequest(service=service)).revisions)
    print_listing(history_rows(views, now_ms=int(time.time() * 1000)), COLUMNS, form=form, quiet=None)


def history_rows(views: list[RevisionView], *, now_ms: int) -> list[dict[str, object]]:
    """A row for each revision, the newest first, with its changes to the previous one that is kept."""
    rows = []
    for view, older in zip(views, [*views[1:], None], strict=True):
        changes = changed_paths(older.revision.spec, view.revision.spec) if older is not None else []
        more = f", and {len(changes) - MAX_CHANGES_SHOWN} more" if len(changes) > MAX_CHANGES_SHOWN else ""
        rows.append(
            {
                "revision": view.revision.number,
                "age": f"{age(now_ms - view.revision.created_at_ms)} ago",
                "state": _state(view),
                "running": view.running,
                "changes": ", ".join(changes[:MAX_CHANGES_SHOWN]) + more,
                "created_at": timestamp(view.revision.created_at_ms),
                "changed": changes,
            }
        )
    return rows


def _state(view: RevisionView) -> str:
    if view.effective:
        return "active" if view.current else "active (after rollback)"
    return "rolled back" if view.current else ""


@click.command("diff", epilog=examples("shoal service diff web", "shoal service diff web 3 5"))
@click.argument("service", shell_complete=names_of("service"))
@click.argument("old", type=click.IntRange(min=1), required=False)
@click.argument("new", type=click.IntRange(min=1), required=False)
@pass_client
def diff(client: Client, *, service: str, old: int | None, new: int | None) -> None:
    """Show changes in the spec of a service between two revisions (default: the two latest)."""
    views = client.call(client.control.ListRevisions, ListRevisionsRequest(service=service)).revisions
    kept = {view.revision.number: view.revision for view in views}
    later = _find_revision(kept, new or max(kept, default=0))
    earlier = _find_revision(kept, old or max((number for number in kept if number < later.number), default=0))
    lines = difflib.unified_diff(
        lines_of(earlier.spec),
        lines_of(later.spec),
        f"revision {earlier.number}",
        f"revision {later.number}",
        lineterm="",
    )
    for line in lines:
        click.echo(_colored(line))


def _find_revision(kept: dict[int, ServiceRevision], number: int) -> ServiceRevision:
    if number in kept:
        return kept[number]
    known = ", ".join(map(str, sorted(kept)))
    raise NotFound(
        f"revision {number} not found; available: {known}" if number else f"only revision {known} is available"
    )


def _colored(line: str) -> str:
    colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return click.style(line, fg=colour) if colour else line
