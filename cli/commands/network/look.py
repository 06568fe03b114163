"""`shoal network ls|inspect`."""

from collections.abc import Callable, Sequence

import click

from cli.client import Client
from cli.commands.arguments import examples, format_option, pass_client, quiet_option
from cli.commands.complete import names_of
from cli.commands.inspect import inspect_each
from cli.render.structure import to_document
from cli.render.table import show
from cli.render.tasks import state_name
from shoal.api.v1.control_pb2 import GetNetworkRequest, ListNetworksRequest, NetworkNode, NetworkView
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.errors import Fault, InvalidInput
from shoal.overlay_encryption import is_encrypted

COLUMNS = ("id", "name", "driver", "subnet", "internal", "addresses")


def _has_label(view: NetworkView, text: str) -> bool:
    name, sign, value = text.partition("=")
    labels = view.network.spec.labels
    return name in labels and (not sign or labels[name] == value)


Keeps = Callable[[NetworkView, str], bool]
FILTERS: dict[str, Keeps] = {
    "id": lambda view, value: view.network.meta.id.startswith(value),
    "name": lambda view, value: value in view.network.spec.name,
    "driver": lambda view, value: view.network.spec.driver == value,
    "label": _has_label,
    "stack": lambda view, value: view.network.spec.stack == value,
    "internal": lambda view, value: view.network.spec.internal == (value == "true"),
    "dangling": lambda view, value: (not view.services) == (value == "true"),
}
"""Of several values of one name any has to fit; of several names, all."""


@click.command("ls", epilog=examples("shoal network ls --filter driver=bridge --filter label=tier=db"))
@click.option("--filter", "filters", multiple=True, metavar="NAME=VALUE", help=f"One of {', '.join(FILTERS)}.")
@format_option
@quiet_option
@pass_client
def list_networks(client: Client, *, filters: tuple[str, ...], form: str, quiet: bool) -> None:
    """List networks."""
    keeps = parse_filters(filters)
    views = client.call(client.control.ListNetworks, ListNetworksRequest()).networks
    rows = [row(view) for view in views if keeps(view)]
    more = [column for column in ("subnet6", "problem") if any(each[column] for each in rows)]
    show(rows, (*COLUMNS, *more), form=form, quiet="id" if quiet else None)


def parse_filters(texts: Sequence[str]) -> Callable[[NetworkView], bool]:
    """What the filters keep.

    Raises:
        InvalidInput: with all faults.
    """
    wanted: dict[str, list[str]] = {}
    faults = []
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or name not in FILTERS:
            faults.append(Fault("", f"--filter: {text!r} is not name=value with a name of {', '.join(FILTERS)}"))
        wanted.setdefault(name, []).append(value)
    if faults:
        raise InvalidInput(faults)
    return lambda view: all(any(FILTERS[name](view, value) for value in values) for name, values in wanted.items())


def row(view: NetworkView) -> dict[str, object]:
    """A row of the listing."""
    spec = view.network.spec
    return {
        "id": view.network.meta.id,
        "name": spec.name,
        "driver": spec.driver,
        "subnet": view.allocation.subnet or spec.subnet,
        "subnet6": view.allocation.subnet6 or spec.subnet6,
        "internal": "yes" if spec.internal else "no",
        "attachable": "yes" if spec.attachable else "no",
        "encrypted": "yes" if is_encrypted(spec) else "no",
        "addresses": view.addresses,
        "services": list(view.services),
        "problem": view.problem,
        "labels": dict(spec.labels),
    }


@click.command(
    "inspect", epilog=examples("shoal network inspect front", "shoal network inspect --format json front back")
)
@format_option
@click.argument("networks", nargs=-1, required=True, shell_complete=names_of("network"))
@pass_client
def inspect(client: Client, *, networks: tuple[str, ...], form: str) -> None:
    """Show everything about NETWORKS, with the tasks on them."""

    def look(network: str) -> dict[str, object]:
        return document(client.call(client.control.GetNetwork, GetNetworkRequest(network=network)))

    inspect_each(networks, look, form=form)


def document(view: NetworkView) -> dict[str, object]:
    """A network as `inspect` shows it: endpoints and nodes with their states' names."""
    whole: dict[str, object] = to_document(view)
    endpoints = [{**to_document(each), "state": state_name(each.state)} for each in view.endpoints]
    nodes = [node_row(each) for each in view.nodes]
    return {**whole, "nodes": nodes, "endpoints": endpoints}


def node_row(node: NetworkNode) -> dict[str, object]:
    """A node that holds tables of the network; without a revision where its manager alone knows that."""
    known = {"revision": node.revision, "up_to_date": node.up_to_date} if node.revision else {}
    state = NodeStatus.State.Name(NodeStatus.State.ValueType(node.state or NodeStatus.UNKNOWN)).lower()
    return {"hostname": node.hostname, "state": state, **known}
