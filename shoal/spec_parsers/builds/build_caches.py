"""Parse where a build's cache comes from and goes to, in BuildKit's notation."""

from dataclasses import dataclass

from shoal.errors import InvalidInput
from shoal.image_reference import parse
from shoal.spec_parsers.builds.csv_fields import csv_fields

_CACHE_TYPES = ("registry", "inline", "local")
_DIRECTORY = {True: "dest", False: "src"}
"""The field of a directory of who builds, by whether the cache is exported."""
_LOCAL_FIELDS = {True: {"type", "dest", "mode", "ignore-error"}, False: {"type", "src"}}


def parse_cache(text: str, *, export: bool) -> str:
    """A cache in "type=registry,ref=registry:5000/cache", "type=inline", "type=local,dest=DIRECTORY", or a reference.

    Args:
        export: it is where the cache goes, not where it comes from ("type=local,src=DIRECTORY").
    Raises:
        InvalidInput: another type, or no reference or directory.
    """
    if "=" not in text:
        parse(text)
        return f"type=registry,ref={text}" if export else text
    fields = csv_fields(text)
    kind = fields.get("type", "registry" if "ref" in fields else "")
    if kind not in _CACHE_TYPES:
        raise InvalidInput(
            f"{text!r}: type {kind!r} is not supported; use registry, inline or local (all nodes share the cache "
            "without that)"
        )
    if kind == "inline" and not export:
        raise InvalidInput(f"{text!r}: type inline is only for --cache-to; use type=registry,ref=IMAGE")
    if kind == "registry":
        if not fields.get("ref"):
            raise InvalidInput(f"{text!r}: ref is missing")
        parse(fields["ref"])
    if kind == "local":
        _check_local(text, fields, export=export)
    rest = [f"{key}={value}" for key, value in fields.items() if key != "type"]
    return ",".join([f"type={kind}", *(f'"{each}"' if "," in each else each for each in rest)])


def _check_local(text: str, fields: dict[str, str], *, export: bool) -> None:
    name = _DIRECTORY[export]
    if not fields.get(name):
        raise InvalidInput(f"{text!r}: {name} is missing")
    if unknown := sorted(set(fields) - _LOCAL_FIELDS[export]):
        raise InvalidInput(f"{text!r}: {unknown[0]} is not supported")


def cache_reference(text: str) -> str:
    """The image of a cache, as it is written in what `parse_cache` has returned; empty: it is in no registry."""
    return csv_fields(text).get("ref", "") if "=" in text else text


@dataclass(frozen=True)
class LocalCache:
    """A cache in a directory of who builds.

    Attributes:
        text: what the builder is told.
    """

    directory: str
    text: str


def local_cache(text: str, *, export: bool, context: str = "") -> LocalCache | None:
    """Of what `parse_cache` has returned; None for one that is nowhere on this machine.

    Args:
        context: the name by which the builder gets the directory; for one that is imported.
    """
    fields = csv_fields(text) if "=" in text else {}
    if fields.get("type") != "local":
        return None
    directory = fields.pop(_DIRECTORY[export])
    if not export:
        fields["context"] = context
    return LocalCache(directory, ",".join(f"{key}={value}" for key, value in fields.items()))


@dataclass(frozen=True)
class CacheSpec:
    """A cache as the builder has it.

    Attributes:
        kind: "registry", "inline" or "local".
        reference: normalized, with a tag; empty for others than a registry's.
        is_max: also layers that are not in the result.
        ignores_errors: the build goes on where it cannot be exported.
        context: in which a local one comes.
    """

    kind: str
    reference: str = ""
    is_max: bool = False
    ignores_errors: bool = False
    context: str = ""


def read_cache(text: str, *, export: bool) -> CacheSpec:
    """A cache as the builder is told of it: of a local one `local_cache` has made that.

    Raises:
        InvalidInput: as `parse_cache`, and for an unknown mode, or a directory that the builder does not have.
    """
    fields = csv_fields(text) if "=" in text else {}
    if fields.get("type") == "local":
        if any(name in fields for name in _DIRECTORY.values()) or bool(fields.get("context")) == export:
            raise InvalidInput(f"{text!r}: type local is only supported by `shoal build`")
    else:
        checked = parse_cache(text, export=export)
        fields = csv_fields(checked) if "=" in checked else {"type": "registry", "ref": checked}
    mode = fields.get("mode", "min")
    if mode not in ("min", "max"):
        raise InvalidInput(f"{text!r}: mode {mode!r} is not supported; use min or max")
    reference = str(parse(fields["ref"]).with_default_tag()) if "ref" in fields else ""
    ignores = fields.get("ignore-error", "false") == "true"
    return CacheSpec(fields["type"], reference, mode == "max", ignores, fields.get("context", ""))
