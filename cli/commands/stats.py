"""`shoal stats`: what tasks use, as `top` shows processes."""

import json
import shutil
import sys

import click

from cli.client import Client
from cli.commands.arguments import pass_client
from cli.commands.complete import names_of
from cli.commands.formats import formatted, no_trunc_option
from cli.fields.rows import STATS as NAMES
from cli.render.failure import warn
from cli.render.table import show, table
from cli.render.terminal import draw, is_live
from shoal.amounts import size
from shoal.api.v1.control_pb2 import StatsRequest, StatsResponse, TaskStats

COLUMNS = ("name", "node", "cpu", "memory", "of", "share", "pids")
EXAMPLES = """\b
Examples:
  shoal stats
  shoal stats --no-stream web cache
  shoal stats --node h1 --format json
"""


@click.command("stats", epilog=EXAMPLES)
@click.option("--no-stream", is_flag=True, help="Measure once and end.")
@click.option("--interval", type=click.FloatRange(0.2, 60), default=1.0, metavar="SECONDS", help="Between two (1).")
@click.option("--node", default="", help="Only tasks on this node.", shell_complete=names_of("node"))
@click.option("--stack", default="", help="Only tasks of this stack.", shell_complete=names_of("stack"))
@formatted()
@no_trunc_option
@click.option("-a", "--all", is_flag=True, hidden=True, expose_value=False, help="Only running tasks use anything.")
@click.argument("targets", nargs=-1, metavar="[SERVICE|TASK]…", shell_complete=names_of("service", "task"))
@pass_client
def command(
    client: Client,
    *,
    targets: tuple[str, ...],
    no_stream: bool,
    interval: float,
    node: str,
    stack: str,
    form: str,
    no_trunc: bool,
) -> None:
    """Show what the running tasks use: CPU, memory, processes."""
    request = StatsRequest(targets=targets, node=node, stack=stack, interval_ms=round(interval * 1000))
    live = is_live(sys.stdout) and not no_stream and form == "table"
    for response in client.stream(client.control.Stats, request, seconds=None):
        if form not in ("table", "json"):
            show(rows(response, no_trunc=no_trunc), COLUMNS, form=form, names=NAMES)
        else:
            text = _json(response) if form == "json" else table(rows(response, no_trunc=no_trunc), COLUMNS)
            if live:
                _redraw(text)
            else:
                click.echo(text)
        warn(*response.warnings)
        if no_stream:
            return


def rows(response: StatsResponse, *, no_trunc: bool = False) -> list[dict[str, object]]:
    """A row a task; CPU in percent of one, as `docker stats` has it.

    Args:
        no_trunc: names with the tasks' ids.
    """
    return [_row(task, no_trunc) for task in response.tasks]


def _row(task: TaskStats, no_trunc: bool) -> dict[str, object]:
    limit = task.limit_memory_bytes
    return {
        "id": task.task_id,
        "name": task.name if no_trunc else task.name.removesuffix(f".{task.task_id}"),
        "node": task.node_hostname,
        "cpu": f"{task.nano_cpus / 1e7:.1f}%",
        "memory": size(task.memory_bytes),
        "of": size(limit) if limit else "",
        "share": f"{100 * task.memory_bytes / limit:.1f}%" if limit else "",
        "pids": task.pids,
    }


def _json(response: StatsResponse) -> str:
    return json.dumps(
        [
            {
                "id": task.task_id,
                "name": task.name,
                "node": task.node_hostname,
                "nano_cpus": task.nano_cpus,
                "memory_bytes": task.memory_bytes,
                "limit_nano_cpus": task.limit_nano_cpus,
                "limit_memory_bytes": task.limit_memory_bytes,
                "pids": task.pids,
            }
            for task in response.tasks
        ]
    )


def _redraw(text: str) -> None:
    """Over the whole terminal, cut at its end."""
    height = shutil.get_terminal_size().lines
    lines = text.splitlines()[: height - 1]
    draw("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
