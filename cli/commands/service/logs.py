"""`shoal service logs`."""

import time
from datetime import UTC, datetime

import click

from cli.client import Client
from cli.commands.arguments import examples, pass_client
from cli.commands.complete import names_of
from cli.render.failure import warn
from cli.render.logs import LogHeads, LogPrinter
from cli.render.units import parse_duration_ms
from shoal.api.v1.control_pb2 import LogsRequest
from shoal.errors import InvalidInput


@click.command("logs", epilog=examples("shoal service logs -f --tail 20 web", "shoal service logs --since 10m web.1"))
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on.")
@click.option("-n", "--tail", type=click.IntRange(min=0), help="Only the newest lines of each task.")
@click.option(
    "--since", default="", metavar="TIME", help="Only since: an age like 10m, or a time like 2026-01-31T12:00:00."
)
@click.option("-t", "--timestamps", is_flag=True, help="Begin each line with its time.")
@click.option("--raw", is_flag=True, help="Lines only, without the task's name.")
@click.option("--details", is_flag=True, help="Begin each line with its node, its task's id and name.")
@click.option("--no-task-ids", is_flag=True, help="Names of tasks without their ids (the default, but for --no-trunc).")
@click.option("--no-trunc", is_flag=True, help="Names of tasks with their ids.")
@click.option("--no-resolve", is_flag=True, help="Ids in place of tasks' names.")
@click.argument("target", metavar="SERVICE|TASK", shell_complete=names_of("service", "task"))
@pass_client
def logs(
    client: Client,
    *,
    target: str,
    follow: bool,
    tail: int | None,
    since: str,
    timestamps: bool,
    raw: bool,
    details: bool,
    no_task_ids: bool,
    no_trunc: bool,
    no_resolve: bool,
    stack: str = "",
) -> None:
    """Show what the containers of SERVICE have written, or those of a TASK: its id, or a name like web.1."""
    since_ns = parse_since_ns(since, time.time_ns())
    request = LogsRequest(target=target, stack=stack, follow=follow, tail=tail, since_ns=since_ns)
    heads = LogHeads(full=no_trunc and not no_task_ids, ids=no_resolve, details=details)
    printer = LogPrinter(timestamps=timestamps, raw=raw, heads=heads)
    for response in client.stream(client.control.Logs, request, seconds=None):
        if response.HasField("warning"):
            warn(response.warning)
        elif response.HasField("source"):
            printer.source(response.source)
        else:
            printer.runs(response.batch.runs)
    printer.end()


def parse_since_ns(text: str, now_ns: int) -> int:
    """Nanoseconds since the epoch of an age ("10m") or a time (RFC 3339, UTC where no zone is given); 0 for nothing."""
    if not text:
        return 0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return now_ns - parse_duration_ms(text) * 1_000_000
        except InvalidInput:
            raise InvalidInput(
                f"--since: {text!r} is neither an age like 10m nor a time like 2026-01-31T12:00"
            ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e9)
