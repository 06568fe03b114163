"""`shoal network create|rm|prune`."""

from collections.abc import MutableMapping

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.common.for_each import for_each
from cli.commands.common.name_completion import names_of
from cli.flags.fault_collector import FaultCollector
from cli.flags.pool_options import set_pools
from cli.render.error_lines import warn
from shoal.api.v1.control_pb2 import CreateNetworkRequest, ListNetworksRequest, RemoveNetworkRequest
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.errors import InvalidInput, NotFound, Refused
from shoal.filters.network_filters import NETWORKS

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
    help="Network driver: overlay (default) or bridge (a separate network on each node).",
)
@click.option(
    "--subnet",
    multiple=True,
    metavar="CIDR",
    help="Subnet in CIDR format, one per address family (default: chosen by the cluster; grows on demand).",
)
@click.option("--gateway", multiple=True, metavar="ADDRESS", help="Gateway address; not assigned to tasks.")
@click.option("--ip-range", multiple=True, metavar="CIDR", help="Allocate task addresses from a sub-range.")
@click.option("--aux-address", multiple=True, metavar="NAME=ADDRESS", help="Auxiliary address; not assigned to tasks.")
@click.option("--internal", is_flag=True, help="Restrict external access to the network.")
@click.option("--attachable", is_flag=True, help="Enable manual container attachment.")
@click.option("--ipv6", is_flag=True, help="Enable IPv6 networking.")
@click.option("-o", "--opt", multiple=True, metavar="NAME[=VALUE]", help="Set driver-specific options: encrypted.")
@click.option("--label", multiple=True, metavar="NAME=VALUE", help="Set a label on the network.")
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
    """Create a network."""
    spec = NetworkSpec(name=name, driver=driver, internal=internal, attachable=attachable, ipv6=ipv6)
    collector = FaultCollector()
    pools = {"--subnet": subnet, "--gateway": gateway, "--ip-range": ip_range}
    collector.faults += set_pools(spec, pools, aux_address)
    for flag, texts, field in (("--opt", opt, spec.options), ("--label", label, spec.labels)):
        for text in texts:
            with collector.flag(flag):
                _set(text, field)
    collector.raise_faults()
    response = client.call(client.control.CreateNetwork, CreateNetworkRequest(spec=spec))
    warn(*response.warnings)
    click.echo(response.network.meta.id)


def _set(text: str, field: MutableMapping[str, str]) -> None:
    key, _, value = text.partition("=")
    if not key:
        raise InvalidInput(f"{text!r} must be in the form NAME=VALUE")
    field[key] = value


@click.command("rm", epilog=examples("shoal network rm front", "shoal network rm front back"))
@click.option("-f", "--force", is_flag=True, help="Do not fail if the network does not exist.")
@click.argument("networks", nargs=-1, required=True, shell_complete=names_of("network"))
@pass_client
def remove(client: Client, *, networks: tuple[str, ...], force: bool) -> None:
    """Remove one or more networks. A network in use cannot be removed."""

    def remove_one(network: str) -> None:
        try:
            client.call(client.control.RemoveNetwork, RemoveNetworkRequest(network=network))
        except NotFound:
            if not force:
                raise
            return
        click.echo(network)

    for_each(networks, remove_one).exit_if_failed()


@click.command("prune", epilog=examples("shoal network prune", "shoal network prune --force --filter label=tier=test"))
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Filter as in `shoal network ls`.")
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation.")
@pass_client
def prune(client: Client, *, filters: tuple[str, ...], force: bool) -> None:
    """Remove all unused networks."""
    keeps = NETWORKS.parse(filters)
    views = client.call(client.control.ListNetworks, ListNetworksRequest()).networks
    unused = [view.network for view in views if not view.services and not view.network.removing and keeps(view)]
    if not unused:
        return
    if not force:
        click.confirm(f"This will remove {', '.join(network.spec.name for network in unused)}. Continue?", abort=True)
    for network in unused:
        try:
            client.call(client.control.RemoveNetwork, RemoveNetworkRequest(network=network.meta.id))
        except Refused as error:  # a service came to use it meanwhile
            warn(str(error))
        else:
            click.echo(network.spec.name)
