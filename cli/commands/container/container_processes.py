"""`shoal top`, `shoal port`."""

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.common.name_completion import names_of
from cli.commands.container.container_calls import containers
from cli.render.output_terminal import strip_control
from cli.render.table import aligned
from shoal.api.v1.engine_pb2 import GetContainerRequest, ListProcessesRequest
from shoal.container_ports import port_bindings
from shoal.errors import InvalidInput, Refused
from shoal.networks.published_ports import protocol_name

_PROTOCOLS = ("tcp", "udp", "sctp")


@click.command(
    "top",
    context_settings={"allow_interspersed_args": False},
    epilog=examples("shoal top db", "shoal top db -o pid,rss,args", "shoal top web.1"),
)
@click.argument("container", metavar="CONTAINER", shell_complete=names_of("running container", "running task"))
@click.argument("ps_options", metavar="[PS OPTIONS]", nargs=-1, type=click.UNPROCESSED)
@pass_client
def top(client: Client, *, container: str, ps_options: tuple[str, ...]) -> None:
    """Display the running processes of a container, as ps(1) of its node has them. PID is that of the node."""
    request = ListProcessesRequest(container=container, ps_args=ps_options)
    found = client.call(containers(client).ListProcesses, request)
    for line in aligned([found.titles, *(row.cells for row in found.processes)]):
        click.echo(strip_control(line))


@click.command("port", epilog=examples("shoal port web", "shoal port web 80/tcp"))
@click.argument("container", metavar="CONTAINER", shell_complete=names_of("running container"))
@click.argument("private", metavar="[PRIVATE_PORT[/PROTO]]", required=False)
@pass_client
def port(client: Client, *, container: str, private: str | None) -> None:
    """List the port mappings of a container, or those of one of its ports.

    The address 0.0.0.0 stands for that of every node, unless the port is published on the container's own node only.
    """
    desired = _parse_port(private) if private is not None else None
    view = client.call(containers(client).GetContainer, GetContainerRequest(container=container))
    bound = [(each.target, protocol_name(each.protocol), each.published_text) for each in port_bindings(view)]
    if desired is None:
        for target, protocol, address in bound:
            click.echo(f"{target}/{protocol} -> {address}")
        return
    found = [address for target, protocol, address in bound if (target, protocol) == desired]
    if not found:
        raise Refused(f"no public port '{desired[0]}/{desired[1]}' published for {container}")
    for address in found:
        click.echo(address)


def _parse_port(text: str) -> tuple[int, str]:
    number, sign, protocol = text.partition("/")
    is_number = number.isascii() and number.isdecimal() and 1 <= int(number[:6]) <= 65_535
    if not is_number or (sign and protocol not in _PROTOCOLS):
        raise InvalidInput(f"PRIVATE_PORT: {text!r} must be in the form PORT[/PROTOCOL], such as 80/tcp")
    return int(number), protocol or "tcp"
