"""`shoal network connect|disconnect`: changes of a service's attachments."""

import click

from cli.client import Client
from cli.commands.common.common_options import detach_option, examples, pass_client, wait_option
from cli.commands.common.name_completion import names_of
from cli.commands.common.network_names import name_networks
from cli.convergence import wait
from cli.flags.network_options import remove_network
from cli.render.error_lines import warn
from shoal.api.v1.control_pb2 import GetNetworkRequest, GetServiceRequest, UpdateServiceRequest
from shoal.api.v1.service_pb2 import NetworkAttachment, Service, ServiceSpec
from shoal.errors import InvalidInput
from shoal.spec_parsers.network_attachments import canonical_ipv6


@click.command("connect", epilog=examples("shoal network connect --alias cache front redis"))
@click.option("--alias", multiple=True, metavar="NAME", help="Add a network-scoped alias for the service.")
@click.option("--ip", "address", default="", metavar="ADDRESS", help="IPv4 address (services with one task only).")
@click.option("--ip6", "address6", default="", metavar="ADDRESS", help="IPv6 address (services with one task only).")
@detach_option
@wait_option
@click.argument("network", shell_complete=names_of("network"))
@click.argument("service", shell_complete=names_of("service"))
@pass_client
def connect(
    client: Client,
    *,
    network: str,
    service: str,
    alias: tuple[str, ...],
    address: str,
    address6: str,
    detach: bool,
    timeout: float,
) -> None:
    """Connect a service to a network. The tasks of the service are replaced."""
    found, name = _service_and_network(client, service, network)
    if any(each.network == name for each in found.spec.task.networks):
        raise InvalidInput(f"service {service!r} is already connected to network {name!r}")
    attachment = NetworkAttachment(network=name, aliases=alias, address=address, address6=canonical_ipv6(address6))
    found.spec.task.networks.append(attachment)
    _update(client, found, found.spec, detach=detach, timeout=timeout)


@click.command("disconnect", epilog=examples("shoal network disconnect front redis"))
@detach_option
@wait_option
@click.argument("network", shell_complete=names_of("network"))
@click.argument("service", shell_complete=names_of("service"))
@pass_client
def disconnect(client: Client, *, network: str, service: str, detach: bool, timeout: float) -> None:
    """Disconnect a service from a network. The tasks of the service are replaced."""
    found, name = _service_and_network(client, service, network)
    if all(each.network != name for each in found.spec.task.networks):
        raise InvalidInput(f"service {service!r} is not connected to network {name!r}")
    remove_network(found.spec, name)
    _update(client, found, found.spec, detach=detach, timeout=timeout)


def _service_and_network(client: Client, service: str, network: str) -> tuple[Service, str]:
    """The service with its networks by name, and the network's name."""
    found = client.call(client.control.GetService, GetServiceRequest(service=service)).service
    name_networks(client, found.spec)
    name = client.call(client.control.GetNetwork, GetNetworkRequest(network=network)).network.spec.name
    return found, name


def _update(client: Client, service: Service, spec: ServiceSpec, *, detach: bool, timeout: float) -> None:
    request = UpdateServiceRequest(service=service.meta.id, version=service.meta.version, spec=spec)
    response = client.call(client.control.UpdateService, request)
    warn(*response.warnings)
    click.echo(response.service.spec.name)
    if not detach:
        wait(client, [response.service.meta.id], seconds=timeout)
