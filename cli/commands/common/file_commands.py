"""`shoal secret …` and `shoal config …`: the same commands for two kinds of files."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cli.client import Client, Unary
from cli.commands.common.common_options import examples, format_option, inspect_format_option, pass_client, quiet_option
from cli.commands.common.for_each import for_each
from cli.commands.common.inspect_objects import inspect_each
from cli.commands.common.listing_options import filter_option, no_trunc_option
from cli.commands.common.name_completion import names_of
from cli.fields.row_fields import FILES as NAMES
from cli.flags.fault_collector import faults_of_flag
from cli.go_template.template_values import FieldRecord
from cli.render.documents import to_document
from cli.render.table import print_listing
from cli.render.task_rows import timestamp
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
from shoal.filters.file_filters import FILES
from shoal.unit_formats import age, size

COLUMNS = ("id", "name", "version", "size", "updated", "services")
_MAX_BYTES = 500 * 1024


@dataclass(frozen=True)
class FileCommandCalls:
    """The calls for one kind of file."""

    create: Unary[CreateFileRequest, FileView]
    update: Unary[UpdateFileRequest, UpdateFileResponse]
    get: Unary[GetFileRequest, FileView]
    list: Unary[ListFilesRequest, ListFilesResponse]
    remove: Unary[RemoveFileRequest, RemoveFileResponse]


def file_commands(kind: str, calls: Callable[[Client], FileCommandCalls]) -> click.Group:
    """The commands for one kind of file."""
    made = click.Group(kind, help=f"Manage {kind}s.")
    for build in (_create, _update, _list, _inspect, _remove):
        made.add_command(build(kind, calls))
    return made


def read_content(kind: str, path: str) -> bytes:
    """The content of a file, or of standard input for "-"; one byte more than is allowed at most.

    Raises:
        InvalidInput: it cannot be read.
    """
    try:
        if path == "-":
            return sys.stdin.buffer.read(_MAX_BYTES + 1)
        with Path(path).open("rb") as file:
            return file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"cannot read the {kind} from {path}: {error.strerror}") from None


def parse_labels(texts: tuple[str, ...]) -> dict[str, str]:
    """ "NAME=VALUE" …

    Raises:
        InvalidInput: with all that have no name.
    """
    pairs = [text.partition("=") for text in texts]
    if nameless := [Fault("", f"{''.join(pair)!r} must be in the form NAME=VALUE") for pair in pairs if not pair[0]]:
        raise InvalidInput(nameless)
    return {key: value for key, _, value in pairs}


def _labels_of_flag(flag: str, texts: tuple[str, ...]) -> dict[str, str]:
    try:
        return parse_labels(texts)
    except InvalidInput as error:
        raise InvalidInput(faults_of_flag(flag, error)) from None


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


def _create(kind: str, calls: Callable[[Client], FileCommandCalls]) -> click.Command:
    shown = examples(f"shoal {kind} create web_{kind} ./file", f"some-command | shoal {kind} create web_{kind} -")

    @click.command("create", epilog=shown, help=f"Create a {kind} from FILE, or from STDIN with -.")
    @click.option("-l", "--label", multiple=True, metavar="NAME=VALUE", help=f"Set a label on the {kind}.")
    @click.option(
        "--template-driver",
        type=click.Choice(["golang"]),
        help="Fill in placeholders of the content for each task, such as {{.Task.Slot}}.",
    )
    @click.argument("name")
    @click.argument("file", type=click.Path(allow_dash=True))
    @pass_client
    def create(client: Client, *, name: str, file: str, label: tuple[str, ...], template_driver: str | None) -> None:
        spec = FileSpec(name=name, labels=_labels_of_flag("--label", label), template=template_driver is not None)
        request = CreateFileRequest(spec=spec, content=read_content(kind, file))
        click.echo(client.call(calls(client).create, request).meta.id)

    return create


def _update(kind: str, calls: Callable[[Client], FileCommandCalls]) -> click.Command:
    text = f"Update the content or labels of a {kind}. Services that follow it are updated to the new version."

    shown = examples(f"shoal {kind} update web_{kind} ./file", f"shoal {kind} update --label-add team=web web_{kind}")

    @click.command("update", epilog=shown, help=text)
    @click.option("--label-add", multiple=True, metavar="NAME=VALUE", help="Add or update a label.")
    @click.option("--label-rm", multiple=True, metavar="NAME", help="Remove a label.")
    @click.argument("name", shell_complete=names_of(kind))
    @click.argument("file", required=False, type=click.Path(allow_dash=True))
    @pass_client
    def update(
        client: Client, *, name: str, file: str | None, label_add: tuple[str, ...], label_rm: tuple[str, ...]
    ) -> None:
        request = UpdateFileRequest(
            file=name, labels_add=_labels_of_flag("--label-add", label_add), labels_remove=label_rm
        )
        if file is not None:
            request.content = read_content(kind, file)
        elif not (label_add or label_rm):
            raise InvalidInput("nothing to update; specify FILE (- for STDIN), --label-add or --label-rm")
        answer = client.call(calls(client).update, request)
        click.echo(f"{answer.file.spec.name} is at version {answer.file.version[:12]}")
        for service in answer.services:
            click.echo(f"~ service {service} (update)")

    return update


def _list(kind: str, calls: Callable[[Client], FileCommandCalls]) -> click.Command:
    @click.command("ls", epilog=examples(f"shoal {kind} ls", f"shoal {kind} ls --format json"), help=f"List {kind}s.")
    @filter_option(FILES)
    @format_option
    @quiet_option
    @no_trunc_option
    @pass_client
    def list_files(client: Client, *, filters: tuple[str, ...], form: str, quiet: bool, no_trunc: bool) -> None:
        keeps = FILES.parse(filters)
        views = client.call(calls(client).list, ListFilesRequest()).files
        now_ms = int(time.time() * 1000)
        columns = (*COLUMNS, "volumes") if kind == "secret" else COLUMNS
        rows = [row(view, now_ms, no_trunc=no_trunc) for view in views if keeps(view)]
        print_listing(rows, columns, form=form, quiet="id" if quiet else None, names=NAMES)

    return list_files


def _inspect(kind: str, calls: Callable[[Client], FileCommandCalls]) -> click.Command:
    shown = "including their content" if kind == "config" else "except their content, which is never shown"

    text = f"Display detailed information on one or more {kind}s, {shown}."

    @click.command("inspect", epilog=examples(f"shoal {kind} inspect web_{kind}"), help=text)
    @inspect_format_option
    @click.option("--pretty", is_flag=True, hidden=True, expose_value=False, help="The default.")
    @click.argument("names", nargs=-1, required=True, shell_complete=names_of(kind))
    @pass_client
    def inspect(client: Client, *, names: tuple[str, ...], form: str) -> None:
        def get(name: str) -> FileView:
            return client.call(calls(client).get, GetFileRequest(file=name))

        def fields(view: FileView) -> FieldRecord:
            from cli.fields.resource_fields import file_fields

            return file_fields(view)

        inspect_each(names, get, form=form, document=document, fields=fields)

    return inspect


def _remove(kind: str, calls: Callable[[Client], FileCommandCalls]) -> click.Command:
    text = f"Remove one or more {kind}s. A {kind} in use cannot be removed."

    @click.command("rm", epilog=examples(f"shoal {kind} rm web_{kind}"), help=text)
    @click.argument("names", nargs=-1, required=True, shell_complete=names_of(kind))
    @pass_client
    def remove(client: Client, *, names: tuple[str, ...]) -> None:
        def remove_one(name: str) -> None:
            client.call(calls(client).remove, RemoveFileRequest(file=name))
            click.echo(name)

        for_each(names, remove_one).exit_if_failed()

    return remove


def document(view: FileView) -> dict[str, Any]:
    """All fields of the response; of content that is not text, only the size."""
    whole = to_document(view)
    if view.content:
        try:
            whole["content"] = view.content.decode()
        except UnicodeDecodeError:
            whole["content"] = f"<{len(view.content)} bytes of binary data>"
    return whole
