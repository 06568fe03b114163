"""`shoal export`."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.common.name_completion import names_of
from cli.commands.container.container_calls import containers
from shoal.api.v1.engine_pb2 import ArchiveChunk, ListChangesRequest
from shoal.errors import InvalidInput


@click.command("export", epilog=examples("shoal export -o db.tar db", "shoal export db | shoal import - db:1"))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file, instead of STDOUT."
)
@click.argument("container", metavar="CONTAINER", shell_complete=names_of("container"))
@pass_client
def command(client: Client, *, output: Path | None, container: str) -> None:
    """Export a container's root file system as a tar archive; volumes are no part of it."""
    if output is None and sys.stdout.isatty():
        raise InvalidInput("cowardly refusing to save to a terminal; use --output or redirect")
    request = ListChangesRequest(container=container)
    chunks = client.stream(containers(client).ExportContainer, request, seconds=None)
    if output is None:
        _write(chunks, sys.stdout.buffer)
        return
    temporary = output.with_name(f".{output.name}.new")
    try:
        with temporary.open("wb") as file:
            _write(chunks, file)
        temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)


def _write(chunks: Iterable[ArchiveChunk], file: BinaryIO) -> None:
    for chunk in chunks:
        file.write(chunk.data)
    file.flush()
