"""`shoal network check`: do all nodes reach each other, and do published ports answer."""

from collections.abc import Sequence

import click

from cli.client import Client
from cli.commands.arguments import examples, format_option, pass_client
from cli.commands.complete import names_of
from cli.render.failure import Failed, warn
from cli.render.table import show
from shoal.api.v1.control_pb2 import CheckNetworkRequest, CheckNetworkResponse, NodePair, PathReport, PortCheck
from shoal.published_ports import protocol_name

PATHS = ("from", "to", "path", "loss", "median", "worst", "mtu", "verdict")
MOST_NAMED = 10
MOST_PATHS = 60
"""That are shown where all is well: those of six nodes."""
PORTS = ("service", "node", "address", "port", "protocol", "verdict")


@click.command("check", epilog=examples("shoal network check", "shoal network check front"))
@click.option("--all", "-a", "show_all", is_flag=True, help="Show all paths, of many nodes too.")
@format_option
@click.argument("network", default="", shell_complete=names_of("network"))
@pass_client
def check(client: Client, *, network: str, show_all: bool, form: str) -> None:
    """Probe from every node to every other one (of NETWORK), and every published port. Fails when one does.

    Of more than six nodes only paths that fail are shown, unless by --all; of more than 173 each asks some others.
    Ports of UDP are sent an empty datagram, and fail when it is refused; of those that keep silent nothing can be said.
    """
    response = client.call(client.control.CheckNetwork, CheckNetworkRequest(network=network))
    rows = [*path_rows(response), *map(port_row, response.ports)]
    if form != "table":
        show(rows, PATHS, form=form)
    else:
        show_paths(response, show_all=show_all)
        if response.ports:
            click.echo()
            show([port_row(port) for port in response.ports], PORTS, form=form)
    if response.unprobed:
        click.echo(f"nothing can be said of ports that keep silent: {listed(response.unprobed)}", err=True)
    warn(*response.problems)
    wrong = sum(row["verdict"] != "ok" for row in rows) + len(response.problems)
    if wrong:
        raise Failed(f"{wrong} of {len(rows) + len(response.problems)} checks failed")


def show_paths(response: CheckNetworkResponse, *, show_all: bool) -> None:
    """All of them, or of many what fails and a count."""
    rows = path_rows(response)
    wrong = [row for row in rows if row["verdict"] != "ok"]
    shortened = not show_all and len(rows) > MOST_PATHS
    if wrong or not shortened:
        show(wrong if shortened else rows, PATHS, form="table")
    if shortened:
        each = f", each node asked {response.asked_each}" if response.asked_each else ""
        click.echo(f"{len(rows) - len(wrong)} of {len(rows)} paths are ok{each}; --all shows them")


def listed(unprobed: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = f" and {len(unprobed) - MOST_NAMED} more" if len(unprobed) > MOST_NAMED else ""
    return ", ".join(unprobed[:MOST_NAMED]) + more


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
        "verdict": verdict(path),
    }


def verdict(path: PathReport) -> str:
    """ "ok", or what is wrong with the path."""
    if not path.received:
        return "no answer"
    if path.received < path.sent:
        return f"{path.sent - path.received} of {path.sent} probes lost"
    if path.mtu < path.expected_mtu:
        return f"only packets of {path.mtu} bytes pass, {path.expected_mtu} should"
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
