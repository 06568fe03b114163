"""`shoal inspect`: objects of any type by name or ID."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from cli.client import Client
from cli.commands.common import file_commands
from cli.commands.common.common_options import examples, inspect_format_option, pass_client
from cli.commands.common.for_each import for_each
from cli.commands.common.name_completion import names_of
from cli.commands.container import container_inspect
from cli.go_template.template_values import FieldRecord
from cli.render.documents import print_documents, to_document
from shoal.api.v1.control_pb2 import (
    FileView,
    GetFileRequest,
    GetNetworkRequest,
    GetNodeRequest,
    GetServiceRequest,
    GetVolumeRequest,
)
from shoal.errors import InvalidInput, NotFound


@dataclass(frozen=True)
class Inspected:
    """An object that was found.

    Attributes:
        fields: what templates can name of it.
    """

    document: Mapping[str, Any]
    fields: Callable[[], FieldRecord]


def _container(client: Client, name: str, sizes: bool = False) -> Inspected:
    view = container_inspect.get_container(client, name, sizes=sizes)
    return Inspected(container_inspect.document(view), lambda: container_inspect.fields_of(client, view))


def _image(client: Client, name: str) -> Inspected:
    from cli.commands.image.image_calls import get_image
    from cli.commands.image.image_inspect import image_fields
    from shoal.images.image_documents import choose_variant, inspect_document

    view = get_image(client, name)
    found = inspect_document(view, choose_variant(view))
    return Inspected(found, lambda: image_fields(found))


def _network(client: Client, name: str) -> Inspected:
    from cli.commands.network.network_listing import document
    from cli.fields.resource_fields import network_fields

    view = client.call(client.control.GetNetwork, GetNetworkRequest(network=name))
    return Inspected(document(view), lambda: network_fields(view))


def _volume(client: Client, name: str) -> Inspected:
    from cli.fields.resource_fields import volume_fields

    view = client.call(client.control.GetVolume, GetVolumeRequest(volume=name))
    return Inspected(to_document(view), lambda: volume_fields(view))


def _service(client: Client, name: str) -> Inspected:
    from cli.fields.service_fields import service_fields
    from cli.render.service_document import document

    view = client.call(client.control.GetService, GetServiceRequest(service=name))
    return Inspected(document(view), lambda: service_fields(view))


def _task(client: Client, name: str) -> Inspected:
    from cli.commands.task import document, find_task, list_all
    from cli.fields.task_fields import task_fields

    view = find_task(list_all(client), name)
    return Inspected(document(view), lambda: task_fields(view))


def _node(client: Client, name: str) -> Inspected:
    from cli.commands.node import document
    from cli.fields.node_fields import node_fields

    view = client.call(client.control.GetNode, GetNodeRequest(node=name))
    return Inspected(document(client, view), lambda: node_fields(view))


def _secret(client: Client, name: str) -> Inspected:
    return _file(client.call(client.control.GetSecret, GetFileRequest(file=name)))


def _config(client: Client, name: str) -> Inspected:
    return _file(client.call(client.control.GetConfig, GetFileRequest(file=name)))


def _file(view: FileView) -> Inspected:
    from cli.fields.resource_fields import file_fields

    return Inspected(file_commands.document(view), lambda: file_fields(view))


TYPES: Mapping[str, Callable[[Client, str], Inspected]] = {
    "container": _container,
    "image": _image,
    "network": _network,
    "volume": _volume,
    "service": _service,
    "task": _task,
    "node": _node,
    "secret": _secret,
    "config": _config,
}
"""In the order in which a name is looked for, which is Docker's."""


@click.command(
    "inspect",
    epilog=examples(
        "shoal inspect db",
        "shoal inspect --type volume data",
        "shoal inspect --format '{{.State.Status}}' db",
    ),
)
@inspect_format_option
@container_inspect.size_option
@click.option(
    "--type",
    "kind",
    type=click.Choice([*TYPES]),
    help="Only inspect objects of the given type.",
)
@click.argument(
    "names",
    metavar="NAME|ID…",
    nargs=-1,
    required=True,
    shell_complete=names_of("container", "image", "network", "volume"),
)
@pass_client
def command(client: Client, *, names: tuple[str, ...], form: str, kind: str | None, sizes: bool) -> None:
    """Display detailed information on objects by name or ID.

    Without --type, an object is looked for among containers, images, networks, volumes, services, tasks, nodes, secrets
    and configs, in this order.
    """
    outcome = for_each(names, lambda name: _find(client, name, kind, sizes))
    if form == "json":
        click.echo(json.dumps([each.document for each in outcome.results], indent=2))
    elif form == "table":
        print_documents([each.document for each in outcome.results], form=form)
    else:
        from cli.render.format_template import print_template

        print_template(form, [each.fields() for each in outcome.results])
    outcome.exit_if_failed()


def _find(client: Client, name: str, kind: str | None, sizes: bool) -> Inspected:
    """The object.

    Raises:
        NotFound: there is none. InvalidInput: the beginning of an ID is that of several.
    """
    for each, get in TYPES.items():
        if kind not in (None, each):
            continue
        try:
            return _container(client, name, sizes) if each == "container" else get(client, name)
        except NotFound:
            if kind is not None:
                raise
        except InvalidInput:
            if kind is not None or each != "image":  # names of other objects need not be references
                raise
    raise NotFound(f'no such object: "{name}"')
