"""`shoal logs`."""

import time
from collections.abc import Iterator

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.common.name_completion import names_of
from cli.commands.common.relative_time import parse_time_ns
from cli.render.error_lines import warn
from cli.render.log_printer import LogPrefixes, LogPrinter
from shoal.api.v1.control_pb2 import LogsRequest, LogsResponse
from shoal.errors import InvalidInput, NotFound
from shoal.resumption.log_resumption import LogResumption
from shoal.spec_parsers.integers import parse_count

_MAX_LINES = (1 << 32) - 1


@click.command(
    "logs",
    epilog=examples(
        "shoal logs db", "shoal logs -f --tail 20 db", "shoal logs --since 10m --until 5m -t db", "shoal logs web.1"
    ),
)
@click.option("--details", is_flag=True, help="Show extra details: node, ID and name.")
@click.option("-f", "--follow", is_flag=True, help="Follow log output.")
@click.option(
    "--since",
    default="",
    metavar="TIME",
    help="Show logs since a timestamp (2026-01-31T12:00:00) or relative time (10m).",
)
@click.option(
    "--until",
    default="",
    metavar="TIME",
    help="Show logs before a timestamp (2026-01-31T12:00:00) or relative time (10m).",
)
@click.option("-n", "--tail", default="all", metavar="LINES", help="Number of lines to show from the end of the logs.")
@click.option("-t", "--timestamps", is_flag=True, help="Show timestamps.")
@click.argument("container", metavar="CONTAINER", shell_complete=names_of("container", "service", "task"))
@pass_client
def logs(
    client: Client,
    *,
    container: str,
    details: bool,
    follow: bool,
    since: str,
    until: str,
    tail: str,
    timestamps: bool,
) -> None:
    """Fetch the logs of a container, over all of its runs; also while it is stopped.

    What the program wrote to STDERR goes to STDERR. Logs of a task or a service, whose names are taken too, have the
    task before each line, as of `shoal service logs`.
    """
    now_ns = time.time_ns()
    request = logs_request(container, since=since, until=until, tail=tail, follow=follow, now_ns=now_ns)
    printer: LogPrinter | None = None
    for response in _responses(client, request, now_ns):
        if response.HasField("warning"):
            warn(response.warning)
            continue
        if printer is None:
            prefixes = LogPrefixes(details=details)
            printer = LogPrinter(timestamps=timestamps, raw=response.source.is_container, prefixes=prefixes)
        if response.HasField("source"):
            printer.source(response.source)
        else:
            printer.runs(response.batch.chunks)
    if printer is not None:
        printer.end()


def _responses(client: Client, request: LogsRequest, now_ns: int) -> Iterator[LogsResponse]:
    try:
        yield from client.resumed_stream(client.control.Logs, LogResumption(request, started_ns=now_ns))
    except NotFound:
        text = f'container, task or service "{request.target}" not found; list containers with `shoal ps --all`'
        raise NotFound(text) from None


def logs_request(container: str, *, since: str, until: str, tail: str, follow: bool, now_ns: int) -> LogsRequest:
    """The request of the flags.

    Args:
        tail: a number of lines, or "all"; as with Docker, anything negative is all too.
        now_ns: nanoseconds since the Unix epoch.
    Raises:
        InvalidInput: a time or a number that is none.
    """
    request = LogsRequest(
        target=container,
        follow=follow,
        since_ns=parse_time_ns("--since", since, now_ns),
        until_ns=parse_time_ns("--until", until, now_ns),
    )
    if tail != "all" and not tail.startswith("-"):
        try:
            request.tail = parse_count(tail, _MAX_LINES)
        except InvalidInput:
            raise InvalidInput(f"--tail: {tail!r} must be a number of lines, or all") from None
    return request
