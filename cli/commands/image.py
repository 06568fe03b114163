"""`shoal image …`."""

import asyncio
import sys
from pathlib import Path
from typing import Literal, get_args

import click

from cli.commands.common.common_options import examples, format_option
from cli.render.documents import print_documents
from cli.render.output_terminal import draw, is_interactive
from cli.render.task_rows import short_image
from shoal.distribution.registries import Registries, read_registries
from shoal.errors import NotFound

Compression = Literal["gzip", "zstd", "none"]

PUSH_EXAMPLES = """\b
Examples:
  shoal image push build/images/hello-1.tar registry:5000/hello:1
  shoal image push ./layout registry.example.org/team/app:2026-01
"""

registries_option = click.option(
    "--registries",
    type=click.Path(path_type=Path),
    help="File with registry settings and credentials (default: the context's).",
)


@click.group("image")
def command() -> None:
    """Push images to a registry and inspect them."""


def settings_of(ctx: click.Context, path: Path | None) -> Registries:
    """The file given, else the context's, else none: then a registry is reached by its name over HTTPS."""
    if path is not None:
        if not path.is_file():
            raise NotFound(f"--registries: {path} not found")
        return read_registries(path)
    from cli.client import resolve_context

    try:
        chosen = resolve_context(ctx.find_root().obj)
    except NotFound:
        return Registries()
    return read_registries(chosen.registries) if chosen.registries else Registries()


@command.command("push", epilog=PUSH_EXAMPLES)
@registries_option
@click.option(
    "--compression",
    type=click.Choice(get_args(Compression)),
    default="gzip",
    show_default=True,
    help="Compression of layers that are uncompressed in SOURCE.",
)
@click.option("-q", "--quiet", is_flag=True, help="Only display the digest.")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.argument("reference")
@click.pass_context
def push(
    ctx: click.Context, *, source: Path, reference: str, registries: Path | None, compression: Compression, quiet: bool
) -> None:
    """Push an image to a registry. SOURCE is an OCI layout, an OCI archive or a `docker save` archive.

    Layers that are uncompressed in SOURCE are compressed during the push. The image then has the same content, but a
    different digest.
    """
    from cli.images.push import push as run

    def say(line: str) -> None:
        if not quiet and is_interactive(sys.stderr):
            draw(f"\r\x1b[2K{line}", err=True)
        elif not quiet:
            click.echo(line, err=True)

    pushed = asyncio.run(run(source, reference, settings_of(ctx, registries), say, compression=compression))
    if not quiet and is_interactive(sys.stderr):
        draw("\r\x1b[2K", err=True)
    click.echo(pushed.digest if quiet else f"{short_image(pushed.reference)}: {pushed.digest}")


@command.command("inspect", epilog=examples("shoal image inspect registry:5000/hello:1"))
@registries_option
@format_option
@click.argument("reference")
@click.pass_context
def inspect(ctx: click.Context, *, reference: str, registries: Path | None, form: str) -> None:
    """Display detailed information on an image in a registry."""
    from cli.images.inspect import inspect as run

    found = asyncio.run(run(reference, settings_of(ctx, registries)))
    config = found.config
    about = {
        "reference": found.reference,
        "digest": found.digest,
        "manifest": found.manifest_digest,
        "platforms": [str(platform) for platform in found.platforms],
        "size_bytes": found.size,
        "layers": [layer.digest for layer in found.manifest.layers],
        "config": dict(config.settings),
    }
    print_documents([about], form=form)
