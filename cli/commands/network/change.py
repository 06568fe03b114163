"""`shoal network create|rm|prune`."""

from collections.abc import MutableMapping

import click

from cli.client import Client
from cli.commands.arguments import examples, pass_client
from cli.commands.complete import names_of
from cli.commands.each import for_each
from cli.flags.gathered import Gathered
from cli.flags.pools import set_pools
from cli.render.failure import warn
from shoal.api.v1.control_pb2 import CreateNetworkRequest, ListNetworksRequest, RemoveNetworkRequest
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.errors import InvalidInput, NotFound, Refused
from shoal.filters.networks import NETWORKS

EXAMPLES = """\b
Examples:
  shoal network create front
  shoal network create --internal db
  shoal network create --subnet 10.5.0.0/24 --ip-range 10.5.0.128/25 office
  shoal network create --driver bridge local
  shoal network create --ipv6 dual
  shoal network create --ipv6 --subnet 10.6.0.0/24 --subnet fd12:3456:789a:6::/64 lab
  shoal network create --opt encrypted bank
"""


@click.command("create", epilog=EXAMPLES)
@click.option(
    "-d",
    "--driver",
    default="overlay",
    shell_complete=lambda *_: ["overlay", "bridge"],
    help="overlay (default), or bridge: one network on each node by itself.",
)
@click.option(
    "--subnet",
    multiple=True,
    metavar="CIDR",
    help="Addresses of the network; chosen by the cluster, and grows, if not given. Once for each family.",
)
@click.option("--gateway", multiple=True, metavar="ADDRESS", help="Give this address to no task.")
@click.option("--ip-range", multiple=True, metavar="CIDR", help="Give tasks addresses of this part of the subnet.")
@click.option("--aux-address", multiple=True, metavar="NAME=ADDRESS", help="Give this address to no task.")
@click.option("--internal", is_flag=True, help="No way out of the network.")
@click.option("--attachable", is_flag=True, help="Containers without a service may attach.")
@click.option("--ipv6", is_flag=True, help="Give tasks an IPv6 address too.")
@click.option("-o", "--opt", multiple=True, metavar="NAME[=VALUE]", help="Set an option of the driver: encrypted.")
@click.option("--label", multiple=True, metavar="NAME=VALUE", help="Label the network.")
@click.argument("name")
@pass_client
def create(
    client: Client,
    *,
    name: str,
    driver: str,
    subnet: tuple[str, ...],
    gateway: tuple[str, ...],
    ip_range: tuple[str, ...],
    aux_address: tuple[str, ...],
    internal: bool,
    attachable: bool,
    ipv6: bool,
    opt: tuple[str, ...],
    label: tuple[str, ...],
) -> None:
    """Make the network NAME."""
    spec = NetworkSpec(name=name, driver=driver, internal=internal, attachable=attachable, ipv6=ipv6)
    gathered = Gathered()
    with gathered:
        set_pools(spec, {"--subnet": subnet, "--gateway": gateway, "--ip-range": ip_range}, aux_address)
    for flag, texts, field in (("--opt", opt, spec.options), ("--label", label, spec.labels)):
        for text in texts:
            with gathered:
                _set(flag, text, field)
    gathered.settle()
    response = client.call(client.control.CreateNetwork, CreateNetworkRequest(spec=spec))
    warn(*response.warnings)
    click.echo(response.network.meta.id)


def _set(flag: str, text: str, field: MutableMapping[str, str]) -> None:
    key, _, value = text.partition("=")
    if not key:
        raise InvalidInput(f"{flag}: {text!r} has no name")
    field[key] = value


@click.command("rm", epilog=examples("shoal network rm front", "shoal network rm front back"))
@click.option("-f", "--force", is_flag=True, help="A network that is not there is no error.")
@click.argument("networks", nargs=-1, required=True, shell_complete=names_of("network"))
@pass_client
def remove(client: Client, *, networks: tuple[str, ...], force: bool) -> None:
    """Remove NETWORKS that no service uses."""

    def remove_one(network: str) -> None:
        try:
            client.call(client.control.RemoveNetwork, RemoveNetworkRequest(network=network))
        except NotFound:
            if not force:
                raise
            return
        click.echo(network)

    for_each(networks, remove_one).settle()


@click.command("prune", epilog=examples("shoal network prune", "shoal network prune --force --filter label=tier=test"))
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Only networks that `ls` would list.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@pass_client
def prune(client: Client, *, filters: tuple[str, ...], force: bool) -> None:
    """Remove all networks that no service uses."""
    keeps = NETWORKS.parse(filters)
    views = client.call(client.control.ListNetworks, ListNetworksRequest()).networks
    unused = [view.network for view in views if not view.services and not view.network.removing and keeps(view)]
    if not unused:
        return
    if not force:
        click.confirm(f"This removes {', '.join(network.spec.name for network in unused)}. Go on?", abort=True)
    for network in unused:
        try:
            client.call(client.control.RemoveNetwork, RemoveNetworkRequest(network=network.meta.id))
        except Refused as error:  # a service came to use it meanwhile
            warn(str(error))
        else:
            click.echo(network.spec.name)
