"""`shoal image inspect`, `shoal history`."""

import json
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from cli.client import Client
from cli.commands.common.common_options import examples, format_option, inspect_format_option, pass_client
from cli.commands.common.for_each import for_each
from cli.commands.common.listing_options import no_trunc_option
from cli.commands.common.name_completion import names_of
from cli.commands.image.image_calls import get_image
from cli.commands.image.image_listing import short_id
from cli.commands.image.image_options import platform_option, registries_option, registries_with_logins, run
from cli.go_template.template_values import FieldRecord
from cli.render.documents import print_documents
from cli.render.table import FieldSource, print_listing
from shoal.distribution.manifests import Platform
from shoal.docker_units import docker_age, docker_size
from shoal.errors import NotFound, ShoalError
from shoal.image_reference import parse
from shoal.images.image_documents import MISSING, HistoryStep, choose_variant, history, inspect_document

HISTORY_COLUMNS = ("image", "created", "created_by", "size", "comment")
HISTORY_FIELDS: Mapping[str, FieldSource] = {
    "ID": "image",
    "CreatedSince": "created",
    "CreatedAt": "created_at",
    "CreatedBy": "created_by",
    "Size": "size",
    "Comment": "comment",
}
_COMMAND = 45
"""Characters of a command in a table, as in Docker."""


@click.command(
    "inspect",
    epilog=examples(
        "shoal image inspect nginx:1.27",
        "shoal image inspect --format '{{.Config.Cmd}}' nginx:1.27",
        "shoal image inspect registry:5000/hello:1",
    ),
)
@inspect_format_option
@platform_option("Of an image for several platforms, this one (default: this host's).")
@registries_option
@click.argument("images", nargs=-1, required=True, shell_complete=names_of("image"))
@click.pass_context
def inspect(
    ctx: click.Context, *, images: tuple[str, ...], form: str, platform: Platform | None, registries: Path | None
) -> None:
    """Display detailed information on one or more images of the cluster; of other names, on what their registry has."""

    def get(image: str) -> dict[str, Any]:
        try:
            with Client.of_context(ctx.find_root().obj) as client:
                view = get_image(client, image)
            return inspect_document(view, choose_variant(view, platform))
        except ShoalError as missing:
            try:
                return _in_registry(ctx, image, registries, platform)
            except ShoalError as error:
                raise (error if isinstance(missing, NotFound) else missing) from missing

    outcome = for_each(images, get)
    if form == "json":
        click.echo(json.dumps(list(outcome.results), indent=2))
    elif form == "table":
        print_documents(list(outcome.results), form=form)
    else:
        _print_template(form, outcome.results)
    outcome.exit_if_failed()


def _in_registry(ctx: click.Context, image: str, path: Path | None, platform: Platform | None) -> dict[str, Any]:
    from cli.images.inspect import inspect as inspect_in_registry

    known = registries_with_logins(ctx, path, [parse(image)])
    found = run(inspect_in_registry(image, known, platform=platform), parse(image).domain)
    return {
        "reference": found.reference,
        "digest": found.digest,
        "manifest": found.manifest_digest,
        "platforms": [str(each) for each in found.platforms],
        "size_bytes": found.size,
        "layers": [layer.digest for layer in found.manifest.layers],
        "config": dict(found.config.settings),
    }


def _print_template(form: str, documents: tuple[dict[str, Any], ...]) -> None:
    """Fields have Docker's names, which are the documents' own; maps of the configuration keep theirs."""
    from cli.render.format_template import print_template

    print_template(form, map(image_fields, documents))


def image_fields(document: Mapping[str, Any]) -> FieldRecord:
    """What templates can name of an image's document: its own names, which are Docker's."""
    return FieldRecord({name: _record(each) for name, each in document.items()})


def _record(value: object) -> object:
    if isinstance(value, dict):
        return FieldRecord({str(name): value[name] for name in value})
    return value


@click.command(
    "history", epilog=examples("shoal history nginx:1.27", "shoal history --no-trunc --format '{{.CreatedBy}}' web:1")
)
@click.option("-H", "--human/--no-human", default=True, help="Print sizes and dates in human readable format.")
@format_option
@platform_option("Of an image for several platforms, this one (default: this host's).")
@no_trunc_option
@click.option("-q", "--quiet", is_flag=True, help="Only display image IDs.")
@click.argument("image", shell_complete=names_of("image"))
@pass_client
def show_history(
    client: Client, *, image: str, human: bool, form: str, platform: Platform | None, no_trunc: bool, quiet: bool
) -> None:
    """Show the history of an image: the steps that made its layers, the newest first.

    SIZE is that of the layer as it is in the registry.
    """
    view = get_image(client, image)
    steps = history(view, choose_variant(view, platform))
    rows = [history_row(each, time.time(), human=human, no_trunc=no_trunc) for each in steps]
    print_listing(rows, HISTORY_COLUMNS, form=form, quiet="image" if quiet else None, names=HISTORY_FIELDS)


def history_row(step: HistoryStep, now: float, *, human: bool, no_trunc: bool) -> dict[str, object]:
    """A row of the listing."""
    command = " ".join(step.created_by.split())
    shortened = command if no_trunc or len(command) <= _COMMAND else command[: _COMMAND - 1] + "…"
    identifier = step.image_id if no_trunc or step.image_id == MISSING else short_id(step.image_id)
    return {
        "image": identifier,
        "created": _age(step.created, now) if human else step.created,
        "created_at": step.created,
        "created_by": shortened,
        "size": docker_size(step.size_bytes) if human else step.size_bytes,
        "size_bytes": step.size_bytes,
        "comment": step.comment,
        "tags": list(step.tags),
    }


def _age(created: str, now: float) -> str:
    try:
        moment = datetime.fromisoformat(created[:26].rstrip("Z") + "+00:00" if created.endswith("Z") else created)
    except ValueError:
        return "N/A"
    return f"{docker_age(int(now - moment.timestamp()))} ago"
