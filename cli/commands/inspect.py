"""`shoal inspect`: objects of any type by name or ID."""

import json
from collections.abc import Callable, Mapping, Sequence
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
from cli.render.container_rows import identifier_of
from cli.render.documents import print_documents, to_document
from shoal.api.v1.control_pb2 import (
    FileView,
    GetFileRequest,
    GetNetworkRequest,
    GetNodeRequest,
    GetServiceRequest,
    GetVolumeRequest,
)
from shoal.container_ids import container_id
from shoal.errors import InvalidInput, NotFound
from shoal.ids import may_begin_id


@dataclass(frozen=True)
class Inspected:
    """An object that was found.

    Attributes:
        names: its names and IDs.
        fields: what templates can name of it.
    """

    names: Sequence[str]
    document: Mapping[str, Any]
    fields: Callable[[], FieldRecord]

    def is_named(self, text: str) -> bool:
        """Whether it has this name, or an ID that begins so: with fewer characters that may be a coincidence."""
        return any(text == each or (may_begin_id(text) and each.startswith(text)) for each in self.names)


def _container(client: Client, name: str, sizes: bool = False) -> Inspected:
    view = container_inspect.get_container(client, name, sizes=sizes)
    own, identifier = view.container.name, identifier_of(view)
    names = (own, f"/{own}", own.removesuffix(f".{identifier}"), container_id(identifier), identifier)
    return Inspected(names, container_inspect.document(view), lambda: container_inspect.fields_of(client, view))


def _image(client: Client, name: str) -> Inspected:
    from cli.commands.image.image_calls import get_image
    from cli.commands.image.image_inspect import image_fields
    from shoal.images.image_documents import choose_variant, inspect_document

    view = get_image(client, name)
    ids = [digest for one in view.image.variants for digest in (one.config_digest, one.digest)]
    digests = [view.image.digest, *ids]
    names = [*view.names, *digests, *(each.removeprefix("sha256:") for each in digests), *_spellings(name, view.names)]
    found = inspect_document(view, choose_variant(view))
    return Inspected(names, found, lambda: image_fields(found))


def _spellings(text: str, names: Sequence[str]) -> Sequence[str]:
    """The text, if it is another spelling of one of the names."""
    from shoal.image_reference import parse

    try:
        return [text] if str(parse(text).with_default_tag()) in names else []
    except InvalidInput:
        return []


def _network(client: Client, name: str) -> Inspected:
    from cli.commands.network.network_listing import document
    from cli.fields.resource_fields import network_fields

    view = client.call(client.control.GetNetwork, GetNetworkRequest(network=name))
    names = (view.network.spec.name, view.network.meta.id)
    return Inspected(names, document(view), lambda: network_fields(view))


def _volume(client: Client, name: str) -> Inspected:
    from cli.fields.resource_fields import volume_fields

    view = client.call(client.control.GetVolume, GetVolumeRequest(volume=name))
    names = (view.volume.spec.name, view.volume.meta.id)
    return Inspected(names, to_document(view), lambda: volume_fields(view))


def _service(client: Client, name: str) -> Inspected:
    from cli.fields.service_fields import service_fields
    from cli.render.service_document import document

    view = client.call(client.control.GetService, GetServiceRequest(service=name))
    names = (view.service.spec.name, view.service.meta.id)
    return Inspected(names, document(view), lambda: service_fields(view))


def _task(client: Client, name: str) -> Inspected:
    from cli.commands.task import document, find_task, list_all
    from cli.fields.task_fields import task_fields

    view = find_task(list_all(client), name)
    return Inspected((view.task.id,), document(view), lambda: task_fields(view))


def _node(client: Client, name: str) -> Inspected:
    from cli.commands.node import document
    from cli.fields.node_fields import node_fields

    view = client.call(client.control.GetNode, GetNodeRequest(node=name))
    names = (view.status.description.hostname, view.node.meta.id)
    return Inspected(names, document(client, view), lambda: node_fields(view))


def _secret(client: Client, name: str) -> Inspected:
    return _file(client.call(client.control.GetSecret, GetFileRequest(file=name)))


def _config(client: Client, name: str) -> Inspected:
    return _file(client.call(client.control.GetConfig, GetFileRequest(file=name)))


def _file(view: FileView) -> Inspected:
    from cli.fields.resource_fields import file_fields

    return Inspected((view.spec.name, view.meta.id), file_commands.document(view), lambda: file_fields(view))


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
    """The object: of those that the text may mean, the first that has it as its name.

    Raises:
        NotFound: none is meant. InvalidInput: the beginning of an ID is that of several.
    """
    if kind is not None:
        return _get(client, name, kind, sizes)
    others: list[Inspected] = []
    errors: list[InvalidInput] = []
    for each in TYPES:
        try:
            found = _get(client, name, each, sizes)
        except NotFound:
            continue
        except InvalidInput as error:
            errors += [error] if each != "image" else []  # names of other objects need not be references
            continue
        if found.is_named(name):
            return found
        others.append(found)
    if others:
        return others[0]
    raise errors[0] if errors else NotFound(f'no such object: "{name}"')


def _get(client: Client, name: str, kind: str, sizes: bool) -> Inspected:
    return _container(client, name, sizes) if kind == "container" else TYPES[kind](client, name)
