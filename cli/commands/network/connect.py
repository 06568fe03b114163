"""`shoal network connect|disconnect`: networks of a container, which keeps running, or of a service."""

from collections.abc import Mapping

import click

from cli.client import Client
from cli.commands.common.common_options import detach_option, examples, pass_client, wait_option
from cli.commands.common.name_completion import names_of
from cli.commands.common.network_names import name_networks
from cli.convergence import wait
from cli.flags.network_options import remove_network
from cli.render.error_lines import warn
from shoal.api.v1.control_pb2 import GetNetworkRequest, GetServiceRequest, UpdateServiceRequest
from shoal.api.v1.engine_pb2 import ConnectContainerRequest, DisconnectContainerRequest, GetContainerRequest
from shoal.api.v1.service_pb2 import NetworkAttachment, Service, ServiceSpec
from shoal.errors import Fault, InvalidInput, NotFound
from shoal.spec_parsers.network_attachments import canonical_ipv6

UNSUPPORTED: Mapping[str, str] = {
    "--driver-opt": "networks have no options of single endpoints",
    "--gw-priority": "the first network of a container has its default route",
    "--link": "containers find each other by name on their networks; give one another name with --alias",
    "--link-local-ip": "networks are routed and have no link-local addresses",
}
"""Flags of `docker network connect` that are not honoured, and why."""


def _unsupported(flag: str, metavar: str) -> click.Option:
    return click.Option(
        [flag], multiple=True, expose_value=False, metavar=metavar, help="Not supported.", callback=_reject_option
    )


def _reject_option(_: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    flag = parameter.opts[0]
    if given:
        raise InvalidInput(f"{flag}: not supported: {UNSUPPORTED[flag]}")
    return given


@click.command(
    "connect",
    epilog=examples(
        "shoal network connect front db",
        "shoal network connect --alias cache --ip 10.5.0.20 front redis",
    ),
)
@click.option("--alias", multiple=True, metavar="NAME", help="Add a network-scoped alias for the container or service.")
@click.option("--ip", "address", default="", metavar="ADDRESS", help="IPv4 address (services: with one task only).")
@click.option("--ip6", "address6", default="", metavar="ADDRESS", help="IPv6 address (services: with one task only).")
@detach_option
@wait_option
@click.argument("network", shell_complete=names_of("network"))
@click.argument("container", metavar="CONTAINER|SERVICE", shell_complete=names_of("container", "service"))
@pass_client
def connect(
    client: Client,
    *,
    network: str,
    container: str,
    alias: tuple[str, ...],
    address: str,
    address6: str,
    detach: bool,
    timeout: float,
) -> None:
    """Connect a container or a service to a network.

    A container keeps running. The tasks of a service are replaced.
    """
    attachment = NetworkAttachment(network=network, aliases=alias, address=address, address6=canonical_ipv6(address6))
    if _is_container(client, container):
        _connect_container(client, container, attachment)
        return
    found, name = _service_and_network(client, container, network)
    if any(each.network == name for each in found.spec.task.networks):
        raise InvalidInput(f"service {container!r} is already connected to network {name!r}")
    attachment.network = name
    found.spec.task.networks.append(attachment)
    _update(client, found, found.spec, detach=detach, timeout=timeout)


connect.params += [
    _unsupported("--driver-opt", "OPTION"),
    _unsupported("--gw-priority", "NUMBER"),
    _unsupported("--link", "CONTAINER:ALIAS"),
    _unsupported("--link-local-ip", "ADDRESS"),
]


@click.command("disconnect", epilog=examples("shoal network disconnect front db"))
@click.option("-f", "--force", is_flag=True, help="Disconnect a container also while its node is down.")
@detach_option
@wait_option
@click.argument("network", shell_complete=names_of("network"))
@click.argument("container", metavar="CONTAINER|SERVICE", shell_complete=names_of("container", "service"))
@pass_client
def disconnect(client: Client, *, network: str, container: str, force: bool, detach: bool, timeout: float) -> None:
    """Disconnect a container or a service from a network.

    A container keeps running. The tasks of a service are replaced.
    """
    if _is_container(client, container):
        from shoal.api.v1.engine_pb2_grpc import ContainersStub

        request = DisconnectContainerRequest(container=container, network=network, force=force)
        client.call(ContainersStub(client.channel).DisconnectContainer, request)
        return
    found, name = _service_and_network(client, container, network)
    if all(each.network != name for each in found.spec.task.networks):
        raise InvalidInput(f"service {container!r} is not connected to network {name!r}")
    remove_network(found.spec, name)
    _update(client, found, found.spec, detach=detach, timeout=timeout)


def _is_container(client: Client, name: str) -> bool:
    """Whether a container is meant; a service, when its name is only the beginning of a container's ID."""
    from shoal.api.v1.engine_pb2_grpc import ContainersStub

    try:
        request = GetContainerRequest(container=name)
        container = client.call(ContainersStub(client.channel).GetContainer, request).container
    except NotFound:
        return False
    if not container.meta.id or container.name == name.removeprefix("/"):
        return bool(container.meta.id)
    try:
        service = client.call(client.control.GetService, GetServiceRequest(service=name)).service
    except NotFound:
        return True
    return service.spec.name != name


def _connect_container(client: Client, container: str, attachment: NetworkAttachment) -> None:
    from shoal.api.v1.engine_pb2_grpc import ContainersStub

    request = ConnectContainerRequest(container=container, attachment=attachment)
    try:
        client.call(ContainersStub(client.channel).ConnectContainer, request)
    except InvalidInput as error:
        raise InvalidInput([_fault_by_flag(each) for each in error.faults]) from error


def _fault_by_flag(fault: Fault) -> Fault:
    """The manager's fault in the words of the command line."""
    flags = {"aliases": "--alias", "address": "--ip", "address6": "--ip6", "network": "NETWORK"}
    field = fault.path.rpartition(".")[2].partition("[")[0]
    return Fault(flags.get(field, fault.path), fault.message)


def _service_and_network(client: Client, service: str, network: str) -> tuple[Service, str]:
    """The service with its networks by name, and the network's name."""
    try:
        found = client.call(client.control.GetService, GetServiceRequest(service=service)).service
    except NotFound:
        raise NotFound(f'container or service "{service}" not found') from None
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
