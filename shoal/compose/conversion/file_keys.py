"""Convert `secrets` and `configs`: their contents, and the references of services."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from shoal.api.v1.control_pb2 import StackFile
from shoal.api.v1.file_pb2 import FileReference, FileSpec
from shoal.compose.reading.file_reader import FileReader
from shoal.compose.reading.scalar_values import octal_digits, scalar_text, string_mapping
from shoal.compose.stack_names import StackNames
from shoal.errors import InvalidInput, NotFound, Unavailable
from shoal.spec_parsers.file_reference_parser import from_fields

_MAX_BYTES = 500 * 1024
SOURCES = ("file", "environment", "content")
TEMPLATE_DRIVER = "golang"


def stack_file(
    names: StackNames, kind: str, name: str, body: Mapping[str, Any], read: Callable[[str, str], bytes]
) -> StackFile:
    """A secret or config that the stack brings.

    Args:
        kind: "secret" or "config"; a secret's content is not written into the file.
        read: the content by one of `SOURCES` and its value; see `content_reader`.
    Raises:
        InvalidInput: none or several of `file`, `environment`, `content`, or one that cannot be read.
    """
    given = [key for key in SOURCES if body.get(key) is not None]
    if len(given) != 1:
        allowed = "one of file, environment" + (" or content" if kind == "config" else "")
        raise InvalidInput(f"must have exactly {allowed}, or external: true")
    labels, driver = string_mapping(body.get("labels") or {}), body.get("template_driver")
    if driver not in (None, TEMPLATE_DRIVER):
        raise InvalidInput(f"template_driver must be {TEMPLATE_DRIVER}")
    spec = FileSpec(
        name=names.resource(name, body), labels=labels, stack=names.stack, template=driver == TEMPLATE_DRIVER
    )
    return StackFile(spec=spec, content=read(given[0], str(body[given[0]])))


def content_reader(variables: Mapping[str, str], directory: Path, files: FileReader) -> Callable[[str, str], bytes]:
    """Gives a content by its source and the source's value; at most one byte more than is allowed.

    Args:
        directory: that relative paths begin at.
    """

    def read(source: str, value: str) -> bytes:
        if source == "content":
            return value.encode()
        if source == "environment":
            if value not in variables:
                raise InvalidInput(f"environment variable {value!r} is not set")
            return variables[value].encode()
        try:
            return files.read(directory / files.expand(value), limit=_MAX_BYTES)
        except (NotFound, Unavailable) as error:
            raise InvalidInput(str(error)) from None

    return read


def references(names: StackNames, kind: str, entries: Any, defined: Mapping[str, Any]) -> Iterator[FileReference]:
    """The references of a service, in the short and the long form.

    Args:
        defined: the file's top-level entries of this kind.
    Raises:
        InvalidInput: one that is not defined, or has a key that is not supported.
    """
    for entry in entries or []:
        fields = {key: item for key, item in entry.items() if item is not None} if isinstance(entry, dict) else {}
        name = str(fields.get("source", "")) if isinstance(entry, dict) else str(entry)
        if name not in defined:
            raise InvalidInput(f"{kind} {name!r} is not defined")
        text = {key: scalar_text(item) for key, item in fields.items() if key in ("target", "uid", "gid")}
        known_keys = {"source", "target", "uid", "gid", "mode"}
        if unknown := sorted(key for key in fields if key not in known_keys and not key.startswith("x-")):
            raise InvalidInput(f"{unknown[0]!r} is not supported")
        if "mode" in fields:
            text["mode"] = octal_digits(fields["mode"])
        if "x-policy" in fields:
            text["policy"] = str(fields["x-policy"])
        source = names.resource(name, defined[name] or {})
        yield from_fields({"target": name, **text, "source": source})
