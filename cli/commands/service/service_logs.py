"""`shoal service logs`."""

import time

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.common.name_completion import names_of
from cli.commands.common.relative_time import parse_time_ns
from cli.render.error_lines import warn
from cli.render.log_printer import LogPrefixes, LogPrinter
from shoal.api.v1.control_pb2 import LogsRequest
from shoal.resumption.log_resumption import LogResumption


@click.command("logs", epilog=examples("shoal service logs -f --tail 20 web", "shoal service logs --since 10m web.1"))
@click.option("-f", "--follow", is_flag=True, help="Follow log output.")
@click.option("-n", "--tail", type=click.IntRange(min=0), help="Number of lines to show from the end of each log.")
@click.option(
    "--since",
    default="",
    metavar="TIME",
    help="Show logs since a timestamp (2026-01-31T12:00:00) or relative time (10m).",
)
@click.option("-t", "--timestamps", is_flag=True, help="Show timestamps.")
@click.option("--raw", is_flag=True, help="Do not prefix lines with the task name.")
@click.option("--details", is_flag=True, help="Show extra details: node, task ID and task name.")
@click.option("--no-task-ids", is_flag=True, help="Do not include task IDs in output (default without --no-trunc).")
@click.option("--no-trunc", is_flag=True, help="Do not truncate output.")
@click.option("--no-resolve", is_flag=True, help="Do not map IDs to names.")
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
    """Fetch the logs of a service, or of a task given by its ID or name (web.1)."""
    now_ns = time.time_ns()
    since_ns = parse_time_ns("--since", since, now_ns)
    request = LogsRequest(target=target, stack=stack, follow=follow, tail=tail, since_ns=since_ns)
    heads = LogPrefixes(full=no_trunc and not no_task_ids, ids=no_resolve, details=details)
    printer = LogPrinter(timestamps=timestamps, raw=raw, prefixes=heads)
    for response in client.resumed_stream(client.control.Logs, LogResumption(request, started_ns=now_ns)):
        if response.HasField("warning"):
            warn(response.warning)
        elif response.HasField("source"):
            printer.source(response.source)
        else:
            printer.runs(response.batch.chunks)
    printer.end()
