"""`shoal network …`."""

import click

from cli.client import Client
from cli.commands.arguments import format_option, pass_client, quiet_option
from cli.render.structure import show_document, to_document
from cli.render.table import show
from shoal.api.v1.control_pb2 import (
    CreateNetworkRequest,
    GetNetworkRequest,
    ListNetworksRequest,
    NetworkView,
    RemoveNetworkRequest,
)
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.errors import InvalidInput

COLUMNS = ("id", "name", "driver", "subnet", "internal", "addresses")


@click.group("network")
def command() -> None:
    """Manage networks."""


@command.command("ls")
@format_option
@quiet_option
@pass_client
def list_networks(client: Client, *, form: str, quiet: bool) -> None:
    """List networks."""
    views = client.call(client.control.ListNetworks, ListNetworksRequest()).networks
    show([row(view) for view in views], COLUMNS, form=form, quiet="id" if quiet else None)


def row(view: NetworkView) -> dict[str, object]:
    """A row of the listing."""
    spec = view.network.spec
    return {
        "id": view.network.meta.id,
        "name": spec.name,
        "driver": spec.driver,
        "subnet": view.allocation.subnet or spec.subnet,
        "internal": "yes" if spec.internal else "no",
        "addresses": view.addresses,
        "services": list(view.services),
    }


@command.command("create", epilog="\b\nExamples:\n  shoal network create front\n  shoal network create --internal db")
@click.option("--driver", default="overlay", help="overlay (default).")
@click.option(
    "--subnet", default="", metavar="CIDR", help="Addresses of the network; chosen by the cluster if not given."
)
@click.option("--internal", is_flag=True, help="No way out of the network.")
@click.option("--label", multiple=True, metavar="NAME=VALUE", help="Label the network.")
@click.argument("name")
@pass_client
def create(client: Client, *, name: str, driver: str, subnet: str, internal: bool, label: tuple[str, ...]) -> None:
    """Make the network NAME."""
    spec = NetworkSpec(name=name, driver=driver, subnet=subnet, internal=internal)
    for text in label:
        key, _, value = text.partition("=")
        if not key:
            raise InvalidInput(f"--label: {text!r} has no name")
        spec.labels[key] = value
    response = client.call(client.control.CreateNetwork, CreateNetworkRequest(spec=spec))
    click.echo(response.network.meta.id)


@command.command("inspect")
@format_option
@click.argument("networks", nargs=-1, required=True)
@pass_client
def inspect(client: Client, *, networks: tuple[str, ...], form: str) -> None:
    """Show everything about NETWORKS."""
    views = [client.call(client.control.GetNetwork, GetNetworkRequest(network=network)) for network in networks]
    show_document([to_document(view) for view in views], form=form)


@command.command("rm")
@click.argument("networks", nargs=-1, required=True)
@pass_client
def remove(client: Client, *, networks: tuple[str, ...]) -> None:
    """Remove NETWORKS that no service uses."""
    for network in networks:
        client.call(client.control.RemoveNetwork, RemoveNetworkRequest(network=network))
        click.echo(network)
