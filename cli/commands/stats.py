"""`shoal stats`: resource usage of containers, refreshed like `top`."""

import json
import shutil
import sys

import click

from cli.client import Client
from cli.commands.common.common_options import pass_client
from cli.commands.common.listing_options import make_format_option, no_trunc_option
from cli.commands.common.name_completion import names_of
from cli.fields.row_fields import STATS as NAMES
from cli.render.error_lines import warn
from cli.render.output_terminal import draw, is_interactive
from cli.render.table import print_listing, table
from shoal.api.v1.control_pb2 import StatsRequest, StatsResponse, TaskStats
from shoal.docker_units import docker_size
from shoal.resumption.repeated_request import RepeatedRequest
from shoal.unit_formats import size

COLUMNS = ("name", "node", "cpu", "memory", "limit", "percent", "net_io", "block_io", "pids")
EXAMPLES = """\b
Examples:
  shoal stats
  shoal stats --no-stream db web cache
  shoal stats --node h1 --format json
"""


@click.command("stats", epilog=EXAMPLES)
@click.option("--no-stream", is_flag=True, help="Print the first result and exit.")
@click.option(
    "--interval", type=click.FloatRange(0.2, 60), default=1.0, metavar="SECONDS", help="Refresh interval (default 1)."
)
@click.option("--node", default="", help="Show only containers on this node.", shell_complete=names_of("node"))
@click.option("--stack", default="", help="Show only tasks of this stack.", shell_complete=names_of("stack"))
@make_format_option()
@no_trunc_option
@click.option(
    "-a", "--all", is_flag=True, hidden=True, expose_value=False, help="No effect: only running containers are shown."
)
@click.argument(
    "targets",
    nargs=-1,
    metavar="[CONTAINER|SERVICE|TASK]…",
    shell_complete=names_of("running container", "service", "task"),
)
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
    """Display resource usage of running containers and tasks: CPU, memory, network, block devices and processes.

    NET IO is what was received and sent, BLOCK IO what was read and written, both since the start.
    """
    request = StatsRequest(targets=targets, node=node, stack=stack, interval_ms=round(interval * 1000), counters=True)
    live = is_interactive(sys.stdout) and not no_stream and form == "table"
    resumption: RepeatedRequest[StatsRequest, StatsResponse] = RepeatedRequest(request)
    for response in client.resumed_stream(client.control.Stats, resumption):
        if form not in ("table", "json"):
            print_listing(rows(response, no_trunc=no_trunc), COLUMNS, form=form, names=NAMES)
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
        "limit": size(limit) if limit else "",
        "percent": f"{100 * task.memory_bytes / limit:.1f}%" if limit else "",
        "net_io": _pair(_network_bytes(task)),
        "block_io": _pair(_block_bytes(task)),
        "pids": task.pids,
    }


def _network_bytes(task: TaskStats) -> tuple[int, int]:
    """Received and sent since its start."""
    links = task.counters.links
    return sum(each.received_bytes for each in links), sum(each.sent_bytes for each in links)


def _block_bytes(task: TaskStats) -> tuple[int, int]:
    """Read and written since its start."""
    blocks = task.counters.blocks
    return sum(each.read_bytes for each in blocks), sum(each.written_bytes for each in blocks)


def _pair(amounts: tuple[int, int]) -> str:
    """ "1.2kB / 0B"."""
    return " / ".join(map(docker_size, amounts))


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
                "received_bytes": _network_bytes(task)[0],
                "sent_bytes": _network_bytes(task)[1],
                "read_bytes": _block_bytes(task)[0],
                "written_bytes": _block_bytes(task)[1],
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
