"""`shoal secret …` and `shoal config …`: the same commands over two nouns."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cli.client import Client, Unary
from cli.commands.arguments import examples, format_option, inspect_format_option, pass_client, quiet_option
from cli.commands.complete import names_of
from cli.commands.each import for_each
from cli.commands.formats import filtered, no_trunc_option
from cli.commands.inspect import inspect_each
from cli.fields.rows import FILES as NAMES
from cli.go_template.values import Record
from cli.render.structure import to_document
from cli.render.table import show
from cli.render.tasks import timestamp
from cli.render.units import age
from shoal.amounts import size
from shoal.api.v1.control_pb2 import (
    CreateFileRequest,
    FileView,
    GetFileRequest,
    ListFilesRequest,
    ListFilesResponse,
    RemoveFileRequest,
    RemoveFileResponse,
    UpdateFileRequest,
    UpdateFileResponse,
)
from shoal.api.v1.file_pb2 import FileSpec
from shoal.errors import Fault, InvalidInput
from shoal.filters.files import FILES

COLUMNS = ("id", "name", "version", "size", "updated", "services")
_MOST_BYTES = 500 * 1024


@dataclass(frozen=True)
class Calls:
    """The calls of one noun."""

    create: Unary[CreateFileRequest, FileView]
    update: Unary[UpdateFileRequest, UpdateFileResponse]
    get: Unary[GetFileRequest, FileView]
    list: Unary[ListFilesRequest, ListFilesResponse]
    remove: Unary[RemoveFileRequest, RemoveFileResponse]


def group(noun: str, calls: Callable[[Client], Calls]) -> click.Group:
    """The commands of a noun."""
    made = click.Group(noun, help=f"Manage {noun}s.")
    for build in (_create, _update, _list, _inspect, _remove):
        made.add_command(build(noun, calls))
    return made


def read_content(noun: str, path: str) -> bytes:
    """The content of a file, or of standard input for "-"; one byte more than is allowed at most.

    Raises:
        InvalidInput: it cannot be read.
    """
    try:
        if path == "-":
            return sys.stdin.buffer.read(_MOST_BYTES + 1)
        with Path(path).open("rb") as file:
            return file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"cannot read the {noun} from {path}: {error.strerror}") from None


def labels(flag: str, texts: tuple[str, ...]) -> dict[str, str]:
    """ "NAME=VALUE" …

    Raises:
        InvalidInput: with all that have no name.
    """
    pairs = [text.partition("=") for text in texts]
    if nameless := [Fault("", f"{flag}: {''.join(pair)!r} has no name") for pair in pairs if not pair[0]]:
        raise InvalidInput(nameless)
    return {key: value for key, _, value in pairs}


def row(view: FileView, now_ms: int, *, no_trunc: bool = False) -> dict[str, object]:
    """A row of the listing."""
    newest = next((each for each in view.versions if each.version == view.version), None)
    return {
        "id": view.meta.id,
        "name": view.spec.name,
        "version": view.version if no_trunc else view.version[:12],
        "size": size(newest.size_bytes if newest is not None else 0),
        "size_bytes": newest.size_bytes if newest is not None else 0,
        "updated": f"{age(now_ms - view.meta.updated_at_ms)} ago",
        "updated_at": timestamp(view.meta.updated_at_ms),
        "created": f"{age(now_ms - view.meta.created_at_ms)} ago",
        "labels": dict(view.spec.labels),
        "services": ", ".join(view.services),
        "volumes": ", ".join(view.volumes),
    }


def _create(noun: str, calls: Callable[[Client], Calls]) -> click.Command:
    shown = examples(f"shoal {noun} create web_{noun} ./file", f"some-command | shoal {noun} create web_{noun} -")

    @click.command("create", epilog=shown, help=f"Make the {noun} NAME from FILE; - is standard input.")
    @click.option("-l", "--label", multiple=True, metavar="NAME=VALUE", help=f"Label the {noun}.")
    @click.argument("name")
    @click.argument("file", type=click.Path(allow_dash=True))
    @pass_client
    def create(client: Client, *, name: str, file: str, label: tuple[str, ...]) -> None:
        spec = FileSpec(name=name, labels=labels("--label", label))
        request = CreateFileRequest(spec=spec, content=read_content(noun, file))
        click.echo(client.call(calls(client).create, request).meta.id)

    return create


def _update(noun: str, calls: Callable[[Client], Calls]) -> click.Command:
    text = f"Give the {noun} NAME the content of FILE; services that follow it are rolled to the new version."

    shown = examples(f"shoal {noun} update web_{noun} ./file", f"shoal {noun} update --label-add team=web web_{noun}")

    @click.command("update", epilog=shown, help=text)
    @click.option("--label-add", multiple=True, metavar="NAME=VALUE", help="Set a label.")
    @click.option("--label-rm", multiple=True, metavar="NAME", help="Remove a label.")
    @click.argument("name", shell_complete=names_of(noun))
    @click.argument("file", required=False, type=click.Path(allow_dash=True))
    @pass_client
    def update(
        client: Client, *, name: str, file: str | None, label_add: tuple[str, ...], label_rm: tuple[str, ...]
    ) -> None:
        request = UpdateFileRequest(file=name, labels_add=labels("--label-add", label_add), labels_remove=label_rm)
        if file is not None:
            request.content = read_content(noun, file)
        elif not (label_add or label_rm):
            raise InvalidInput("nothing to change; give a FILE (- is standard input), --label-add or --label-rm")
        answer = client.call(calls(client).update, request)
        click.echo(f"{answer.file.spec.name} is at version {answer.file.version[:12]}")
        for service in answer.services:
            click.echo(f"~ service {service} (update)")

    return update


def _list(noun: str, calls: Callable[[Client], Calls]) -> click.Command:
    @click.command("ls", epilog=examples(f"shoal {noun} ls", f"shoal {noun} ls --format json"), help=f"List {noun}s.")
    @filtered(FILES)
    @format_option
    @quiet_option
    @no_trunc_option
    @pass_client
    def list_files(client: Client, *, filters: tuple[str, ...], form: str, quiet: bool, no_trunc: bool) -> None:
        keeps = FILES.parse(filters)
        views = client.call(calls(client).list, ListFilesRequest()).files
        now_ms = int(time.time() * 1000)
        columns = (*COLUMNS, "volumes") if noun == "secret" else COLUMNS
        rows = [row(view, now_ms, no_trunc=no_trunc) for view in views if keeps(view)]
        show(rows, columns, form=form, quiet="id" if quiet else None, names=NAMES)

    return list_files


def _inspect(noun: str, calls: Callable[[Client], Calls]) -> click.Command:
    shown = "with its content" if noun == "config" else "but the content, which is never shown"

    text = f"Show everything about {noun}s, {shown}."

    @click.command("inspect", epilog=examples(f"shoal {noun} inspect web_{noun}"), help=text)
    @inspect_format_option
    @click.option("--pretty", is_flag=True, hidden=True, expose_value=False, help="The default.")
    @click.argument("names", nargs=-1, required=True, shell_complete=names_of(noun))
    @pass_client
    def inspect(client: Client, *, names: tuple[str, ...], form: str) -> None:
        def get(name: str) -> FileView:
            return client.call(calls(client).get, GetFileRequest(file=name))

        def fields(view: FileView) -> Record:
            from cli.fields.others import file_fields

            return file_fields(view)

        inspect_each(names, get, form=form, document=document, fields=fields)

    return inspect


def _remove(noun: str, calls: Callable[[Client], Calls]) -> click.Command:
    text = f"Remove {noun}s that no service{' or volume' if noun == 'secret' else ''} uses."

    @click.command("rm", epilog=examples(f"shoal {noun} rm web_{noun}"), help=text)
    @click.argument("names", nargs=-1, required=True, shell_complete=names_of(noun))
    @pass_client
    def remove(client: Client, *, names: tuple[str, ...]) -> None:
        def remove_one(name: str) -> None:
            client.call(calls(client).remove, RemoveFileRequest(file=name))
            click.echo(name)

        for_each(names, remove_one).settle()

    return remove


def document(view: FileView) -> dict[str, Any]:
    """Everything that the managers tell; a content that is not text is shown by its size alone."""
    whole = to_document(view)
    if view.content:
        try:
            whole["content"] = view.content.decode()
        except UnicodeDecodeError:
            whole["content"] = f"<{len(view.content)} bytes that are not text>"
    return whole
