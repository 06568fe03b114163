"""`shoal container inspect`."""

import click

from cli.client import CALL_SECONDS, Client
from cli.commands.common.common_options import examples, inspect_format_option, pass_client
from cli.commands.common.inspect_objects import inspect_each
from cli.commands.common.name_completion import names_of
from cli.commands.container.container_calls import SIZE_SECONDS, containers
from cli.go_template.template_values import FieldRecord
from cli.render.container_rows import identifier_of, names_of_networks
from cli.render.documents import to_document
from cli.render.error_lines import warn
from shoal.api.v1.control_pb2 import ListNetworksRequest
from shoal.api.v1.engine_pb2 import ContainerView, GetContainerRequest
from shoal.container_ids import container_id
from shoal.container_states import state_text

size_option = click.option("-s", "--size", "sizes", is_flag=True, help="Display total file sizes of containers.")


@click.command(
    "inspect",
    epilog=examples(
        "shoal container inspect db",
        "shoal container inspect --format '{{.State.Status}} {{.NetworkSettings.IPAddress}}' db",
    ),
)
@inspect_format_option
@size_option
@click.argument("names", metavar="CONTAINER...", nargs=-1, required=True, shell_complete=names_of("container"))
@pass_client
def inspect(client: Client, *, names: tuple[str, ...], form: str, sizes: bool) -> None:
    """Display detailed information on one or more containers."""

    def get(name: str) -> ContainerView:
        return get_container(client, name, sizes=sizes)

    def fields(view: ContainerView) -> FieldRecord:
        return fields_of(client, view)

    inspect_each(names, get, form=form, document=document, fields=fields)


def get_container(client: Client, name: str, *, sizes: bool = False) -> ContainerView:
    """A container, or a service's task. Raises NotFound; InvalidInput: the beginning of an ID is ambiguous."""
    request = GetContainerRequest(container=name, include_sizes=sizes)
    view = client.call(containers(client).GetContainer, request, seconds=SIZE_SECONDS if sizes else CALL_SECONDS)
    warn(*view.warnings)
    return view


def document(view: ContainerView) -> dict[str, object]:
    """A container as `inspect` shows it: with its ID and its state in Docker's form."""
    return {"id": container_id(identifier_of(view)), "state": state_text(view), **to_document(view)}


def fields_of(client: Client, view: ContainerView) -> FieldRecord:
    """What templates can name of it: Docker's fields, networks by their names."""
    from cli.fields.container_fields import container_fields

    networks = client.call(client.control.ListNetworks, ListNetworksRequest()).networks
    return container_fields(view, names_of_networks(networks))
