"""Where the result of a build goes on this machine: a directory, an archive, standard output; and what describes it."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from shoal.api.v1.builds_pb2 import BuildResult, BuildStart
from shoal.errors import InvalidInput
from shoal.image_reference import parse
from shoal.spec_parsers.builds.build_outputs import BuildOutputOption

STDOUT = "-"
KINDS: Mapping[str, BuildStart.Output.ValueType] = {
    "image": BuildStart.IMAGE,
    "registry": BuildStart.IMAGE,
    "local": BuildStart.FILES,
    "tar": BuildStart.FILES,
    "docker": BuildStart.DOCKER_ARCHIVE,
    "oci": BuildStart.OCI_ARCHIVE,
    "cacheonly": BuildStart.NONE,
}

Save = Callable[[Iterator[bytes]], object]


def output_kind(option: BuildOutputOption) -> BuildStart.Output.ValueType:
    """What the node is asked for. An image "for docker" without a file is one in the cluster."""
    if option.kind == "docker" and not option.destination:
        return BuildStart.IMAGE
    return KINDS[option.kind]


def saver(option: BuildOutputOption) -> Save | None:
    """What takes the files of the result; None where none are sent.

    Raises:
        InvalidInput: an archive would go to a terminal.
    """
    if output_kind(option) in (BuildStart.IMAGE, BuildStart.NONE):
        return None
    if option.kind == "local":
        return lambda pieces: _extract(pieces, Path(option.destination))
    if option.destination not in ("", STDOUT):
        return lambda pieces: _write_file(pieces, Path(option.destination))
    if sys.stdout.isatty():
        raise InvalidInput("--output: refusing to write an archive to a terminal; give dest=FILE, or redirect it")
    return _write_stdout


def _extract(pieces: Iterator[bytes], directory: Path) -> None:
    from cli.file_copies.copy_paths import Placement
    from cli.file_copies.local_extract import LocalExtraction
    from shoal.tar.piece_reader import PieceReader

    directory.mkdir(parents=True, exist_ok=True)
    LocalExtraction(Placement(str(directory), ".", "."), keep_owner=False).run(PieceReader(pieces).read)


def _write_file(pieces: Iterator[bytes], path: Path) -> None:
    """Whole, or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            for piece in pieces:
                file.write(piece)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write_stdout(pieces: Iterator[bytes]) -> None:
    for piece in pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def metadata_text(result: BuildResult) -> str:
    """`--metadata-file`: keys of BuildKit's."""
    document = {
        "containerimage.config.digest": result.image_id,
        "containerimage.digest": result.digest,
        "image.name": ",".join(_shown(result.names)),
    }
    return json.dumps({key: value for key, value in document.items() if value}, indent=2) + "\n"


def _shown(names: Sequence[str]) -> list[str]:
    return [str(parse(name)) for name in names]
