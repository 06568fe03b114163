"""`shoal network check`: connectivity between nodes and to published ports."""

from collections.abc import Sequence

import click

from cli.client import Client
from cli.commands.common.common_options import examples, format_option, pass_client
from cli.commands.common.name_completion import names_of
from cli.render.error_lines import CommandFailed, warn
from cli.render.table import print_listing
from shoal.api.v1.control_pb2 import CheckNetworkRequest, CheckNetworkResponse, NodePair, PathReport, PortCheck
from shoal.networks.published_ports import protocol_name

PATH_COLUMNS = ("from", "to", "path", "loss", "median", "worst", "mtu", "verdict")
MAX_PORTS_LISTED = 10
MAX_PATHS_SHOWN = 60
"""That are shown where all is well: those of six nodes."""
PORT_COLUMNS = ("service", "node", "address", "port", "protocol", "verdict")


@click.command("check", epilog=examples("shoal network check", "shoal network check front"))
@click.option("--all", "-a", "show_all", is_flag=True, help="Show all paths, even if there are many nodes.")
@format_option
@click.argument("network", default="", shell_complete=names_of("network"))
@pass_client
def check(client: Client, *, network: str, show_all: bool, form: str) -> None:
    """Check connectivity between all nodes (of NETWORK) and to all published ports. Fails if a check fails.

    With more than six nodes, only failed paths are shown, unless you use --all. With more than 173 nodes, each node
    probes a sample of the others. UDP ports are sent an empty datagram and fail if it is refused; ports that do not
    respond are reported as inconclusive.
    """
    response = client.call(client.control.CheckNetwork, CheckNetworkRequest(network=network))
    rows = [*path_rows(response), *map(port_row, response.ports)]
    if form != "table":
        print_listing(rows, PATH_COLUMNS, form=form)
    else:
        show_paths(response, show_all=show_all)
        if response.ports:
            click.echo()
            print_listing([port_row(port) for port in response.ports], PORT_COLUMNS, form=form)
    if response.inconclusive:
        click.echo(f"inconclusive (no response): {summarize(response.inconclusive)}", err=True)
    warn(*response.problems)
    wrong = sum(row["verdict"] != "ok" for row in rows) + len(response.problems)
    if wrong:
        raise CommandFailed(f"{wrong} of {len(rows) + len(response.problems)} checks failed")


def show_paths(response: CheckNetworkResponse, *, show_all: bool) -> None:
    """All of them, or of many what fails and a count."""
    rows = path_rows(response)
    wrong = [row for row in rows if row["verdict"] != "ok"]
    shortened = not show_all and len(rows) > MAX_PATHS_SHOWN
    if wrong or not shortened:
        print_listing(wrong if shortened else rows, PATH_COLUMNS, form="table")
    if shortened:
        each = f", each node probed {response.peers_per_node}" if response.peers_per_node else ""
        click.echo(f"{len(rows) - len(wrong)} of {len(rows)} paths are ok{each}; use --all to show them")


def summarize(unprobed: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = f" and {len(unprobed) - MAX_PORTS_LISTED} more" if len(unprobed) > MAX_PORTS_LISTED else ""
    return ", ".join(unprobed[:MAX_PORTS_LISTED]) + more


def path_rows(response: CheckNetworkResponse) -> list[dict[str, object]]:
    """A row for each path of each pair of nodes, by their names."""
    ordered = sorted(response.pairs, key=lambda pair: (pair.from_hostname, pair.to_hostname))
    return [row for pair in ordered for row in _pair_rows(pair)]


def _pair_rows(pair: NodePair) -> list[dict[str, object]]:
    rows = [_path_row(pair, "underlay", pair.underlay)]
    if pair.HasField("overlay"):
        rows.append(_path_row(pair, "overlay", pair.overlay))
    return rows


def _path_row(pair: NodePair, kind: str, path: PathReport) -> dict[str, object]:
    return {
        "from": pair.from_hostname,
        "to": pair.to_hostname,
        "path": kind,
        "loss": f"{100 * (path.sent - path.received) / max(1, path.sent):.0f}%",
        "median_us": path.median_us,
        "worst_us": path.worst_us,
        "median": _milliseconds(path.median_us),
        "worst": _milliseconds(path.worst_us),
        "mtu": path.mtu,
        "verdict": path_result(path),
    }


def path_result(path: PathReport) -> str:
    """ "ok", or what is wrong with the path."""
    if not path.received:
        return "no response"
    if path.received < path.sent:
        return f"{path.sent - path.received} of {path.sent} probes lost"
    if path.mtu < path.expected_mtu:
        return f"MTU is {path.mtu} bytes, expected {path.expected_mtu}"
    return "ok"


def port_row(port: PortCheck) -> dict[str, object]:
    """A row of a published port."""
    return {
        "service": port.service_name,
        "node": port.node_hostname,
        "address": port.address,
        "port": port.port,
        "protocol": protocol_name(port.protocol),
        "from": port.from_hostname,
        "verdict": "ok" if port.open else port.error,
    }


def _milliseconds(microseconds: int) -> str:
    return f"{microseconds / 1000:.1f} ms" if microseconds else ""
