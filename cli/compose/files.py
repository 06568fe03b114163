"""Compose `secrets` and `configs`: contents of the stack, and references of its services."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cli.compose.external import cluster_name
from cli.compose.values import octal, pairs, scalar
from cli.flags.files import from_fields
from shoal.api.v1.control_pb2 import StackFile
from shoal.api.v1.file_pb2 import FileReference, FileSpec
from shoal.errors import InvalidInput

_MOST_BYTES = 500 * 1024
SOURCES = ("file", "environment", "content")


def stack_file(
    stack: str, noun: str, name: str, body: Mapping[str, Any], variables: Mapping[str, str], directory: Path
) -> StackFile:
    """A secret or config that the stack brings.

    Args:
        noun: "secret" or "config"; a secret's content is not written into the file.
        directory: that relative paths begin at.
    Raises:
        InvalidInput: none or several of `file`, `environment`, `content`, or one that cannot be read.
    """
    given = [key for key in SOURCES if body.get(key) is not None]
    if len(given) != 1:
        wanted = "one of file, environment" + (" or content" if noun == "config" else "")
        raise InvalidInput(f"needs exactly {wanted}, or external: true")
    spec = FileSpec(name=cluster_name(stack, name, body), labels=pairs(body.get("labels") or {}), stack=stack)
    return StackFile(spec=spec, content=_content(given[0], str(body[given[0]]), variables, directory))


def _content(source: str, value: str, variables: Mapping[str, str], directory: Path) -> bytes:
    if source == "content":
        return value.encode()
    if source == "environment":
        if value not in variables:
            raise InvalidInput(f"variable {value!r} is not set")
        return variables[value].encode()
    path = directory / Path(value).expanduser()
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from None


def references(stack: str, noun: str, entries: Any, known: Mapping[str, Any]) -> Iterator[FileReference]:
    """The references of a service, in the short and the long form.

    Args:
        known: the file's top-level entries of the noun.
    Raises:
        InvalidInput: one that is not known, or that asks for what cannot be honoured.
    """
    for entry in entries or []:
        fields = {key: item for key, item in entry.items() if item is not None} if isinstance(entry, dict) else {}
        name = str(fields.get("source", "")) if isinstance(entry, dict) else str(entry)
        if name not in known:
            raise InvalidInput(f"{noun} {name!r} is not among the file's {noun}s")
        text = {key: scalar(item) for key, item in fields.items() if key in ("target", "uid", "gid")}
        known_keys = {"source", "target", "uid", "gid", "mode"}
        if unknown := sorted(key for key in fields if key not in known_keys and not key.startswith("x-")):
            raise InvalidInput(f"{unknown[0]!r} is not supported yet")
        if "mode" in fields:
            text["mode"] = octal(fields["mode"])
        if "x-policy" in fields:
            text["policy"] = str(fields["x-policy"])
        source = cluster_name(stack, name, known[name] or {})
        yield from_fields(noun, {"target": name, **text, "source": source})
