"""`shoal network ls|inspect`."""

import click

from cli.client import Client
from cli.commands.common.common_options import examples, format_option, inspect_format_option, pass_client, quiet_option
from cli.commands.common.inspect_objects import inspect_each
from cli.commands.common.listing_options import filter_option, ignored_no_trunc_option
from cli.commands.common.name_completion import names_of
from cli.fields.row_fields import NETWORKS as NAMES
from cli.go_template.template_values import FieldRecord
from cli.render.documents import to_document
from cli.render.table import print_listing
from cli.render.task_rows import state_name, timestamp
from shoal.api.v1.control_pb2 import GetNetworkRequest, ListNetworksRequest, NetworkNode, NetworkView
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.filters.network_filters import NETWORKS
from shoal.networks.overlay_encryption import is_encrypted

COLUMNS = ("id", "name", "driver", "subnet", "internal", "addresses")


@click.command("ls", epilog=examples("shoal network ls --filter driver=bridge --filter label=tier=db"))
@filter_option(NETWORKS)
@format_option
@quiet_option
@ignored_no_trunc_option
@pass_client
def list_networks(client: Client, *, filters: tuple[str, ...], form: str, quiet: bool) -> None:
    """List networks."""
    keeps = NETWORKS.parse(filters)
    views = client.call(client.control.ListNetworks, ListNetworksRequest()).networks
    rows = [row(view) for view in views if keeps(view)]
    more = [column for column in ("subnet6", "problem") if any(each[column] for each in rows)]
    print_listing(rows, (*COLUMNS, *more), form=form, quiet="id" if quiet else None, names=NAMES)


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
        "created_at": timestamp(view.network.meta.created_at_ms),
    }


@click.command(
    "inspect", epilog=examples("shoal network inspect front", "shoal network inspect --format json front back")
)
@inspect_format_option
@click.argument("networks", nargs=-1, required=True, shell_complete=names_of("network"))
@pass_client
def inspect(client: Client, *, networks: tuple[str, ...], form: str) -> None:
    """Display detailed information on one or more networks, including their tasks."""

    def get(network: str) -> NetworkView:
        return client.call(client.control.GetNetwork, GetNetworkRequest(network=network))

    def fields(view: NetworkView) -> FieldRecord:
        from cli.fields.resource_fields import network_fields

        return network_fields(view)

    inspect_each(networks, get, form=form, document=document, fields=fields)


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
