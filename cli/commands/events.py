"""`shoal events`."""

import json
import time
from collections.abc import Sequence

import click

from cli.client import Client
from cli.commands.common.common_options import pass_client
from cli.commands.common.listing_options import filter_option, make_format_option
from cli.commands.common.relative_time import parse_time_ns
from cli.fields.row_fields import EVENTS as NAMES
from cli.render.error_lines import warn
from cli.render.task_rows import timestamp
from shoal.api.v1.control_pb2 import WatchEventsRequest
from shoal.api.v1.event_pb2 import Event
from shoal.errors import InvalidInput
from shoal.filters.event_filters import EVENTS
from shoal.resumption.event_resumption import EventResumption

BY_MANAGER = {
    "type": "types",
    "service": "services",
    "node": "nodes",
    "stack": "stacks",
    "action": "actions",
    "event": "actions",
}
"""Filters that the manager applies, by their field of the request; the others are applied here."""

EXAMPLES = """\b
Examples:
  shoal events
  shoal events --since 10m --filter type=task --filter service=web
  shoal events --since 1h --until 0s --filter action=failed --format json
  shoal system events --filter container=db
"""


@click.command("events", epilog=EXAMPLES)
@click.option(
    "--since", default="", metavar="TIME", help="Show events since a timestamp or a relative time such as 10m."
)
@click.option("--until", default="", metavar="TIME", help="Stop at a timestamp or a relative time such as 0s.")
@filter_option(EVENTS)
@make_format_option(plain="text")
@pass_client
def command(client: Client, *, since: str, until: str, filters: Sequence[str], form: str) -> None:
    """Stream events from the cluster."""
    now_ns = time.time_ns()
    request = request_of(filters, since=since, until=until, now_ns=now_ns)
    resumption = EventResumption(request, started_ms=now_ns // 1_000_000)
    keeps = EVENTS.parse(text for text in filters if text.partition("=")[0] not in BY_MANAGER)
    for response in client.resumed_stream(client.control.WatchEvents, resumption):
        if response.HasField("warning"):
            warn(response.warning)
        elif keeps(response.event):
            _show(response.event, form)


def _show(event: Event, form: str) -> None:
    if form in ("text", "json"):
        click.echo(json.dumps(fields(event)) if form == "json" else line(event))
        return
    from cli.render.format_template import print_template, row_record

    print_template(form, [row_record(fields(event), NAMES)])


def request_of(filters: Sequence[str], *, since: str, until: str, now_ns: int) -> WatchEventsRequest:
    """The request of the command line's words.

    Raises:
        InvalidInput: a filter or a time that is none.
    """
    since_ms = parse_time_ns("--since", since, now_ns) // 1_000_000
    request = WatchEventsRequest(since_ms=since_ms, until_ms=parse_time_ns("--until", until, now_ns) // 1_000_000)
    if empty := [text for text in filters if text.endswith("=")]:
        raise InvalidInput(f"--filter: {empty[0]!r} must be in the form KEY=VALUE")
    EVENTS.parse(filters)
    for text in filters:
        key, _, value = text.partition("=")
        if key in BY_MANAGER:
            getattr(request, BY_MANAGER[key]).append(value)
    return request


def fields(event: Event) -> dict[str, object]:
    """The event for programs."""
    return {
        "time": timestamp(event.at_ms),
        "type": event.type,
        "action": event.action,
        "id": event.id,
        "name": event.name,
        "service": event.service,
        "node": event.node,
        "stack": event.stack,
        "message": event.message,
        "number": event.sequence,
    }


def line(event: Event) -> str:
    """The event for people: "2026-… task failed web.3 on h2: exit code 1"."""
    where = f" on {event.node}" if event.node and event.type == "task" else ""
    why = f": {event.message}" if event.message else ""
    return f"{timestamp(event.at_ms)} {event.type} {event.action} {event.name}{where}{why}"
