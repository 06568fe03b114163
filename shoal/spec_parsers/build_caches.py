"""Parse where a build's cache comes from and goes to, in BuildKit's notation."""

from dataclasses import dataclass

from shoal.errors import InvalidInput
from shoal.image_reference import parse
from shoal.spec_parsers.csv_fields import csv_fields

_CACHE_TYPES = ("registry", "inline")


def parse_cache(text: str, *, export: bool) -> str:
    """A cache in "type=registry,ref=registry:5000/cache", "type=inline", or a reference; as the builder takes it.

    Args:
        export: it is where the cache goes, not where it comes from.
    Raises:
        InvalidInput: another type, or no reference.
    """
    if "=" not in text:
        parse(text)
        return f"type=registry,ref={text}" if export else text
    fields = csv_fields(text)
    kind = fields.get("type", "registry" if "ref" in fields else "")
    if kind not in _CACHE_TYPES:
        raise InvalidInput(
            f"{text!r}: type {kind!r} is not supported; use registry or inline (all nodes share the cache without that)"
        )
    if kind == "inline" and not export:
        raise InvalidInput(f"{text!r}: type inline is only for --cache-to; use type=registry,ref=IMAGE")
    if kind == "registry":
        if not fields.get("ref"):
            raise InvalidInput(f"{text!r}: ref is missing")
        parse(fields["ref"])
    rest = [f"{key}={value}" for key, value in fields.items() if key != "type"]
    return ",".join([f"type={kind}", *rest])


@dataclass(frozen=True)
class CacheSpec:
    """A cache as the builder has it.

    Attributes:
        kind: "registry" or "inline".
        reference: normalized, with a tag; empty for inline.
        is_max: also layers that are not in the result.
        ignores_errors: the build goes on where it cannot be exported.
    """

    kind: str
    reference: str = ""
    is_max: bool = False
    ignores_errors: bool = False


def read_cache(text: str, *, export: bool) -> CacheSpec:
    """What `parse_cache` has checked. Raises InvalidInput as it does, and for an unknown mode."""
    checked = parse_cache(text, export=export)
    fields = csv_fields(checked) if "=" in checked else {"type": "registry", "ref": checked}
    mode = fields.get("mode", "min")
    if mode not in ("min", "max"):
        raise InvalidInput(f"{text!r}: mode {mode!r} is not supported; use min or max")
    reference = str(parse(fields["ref"]).with_default_tag()) if "ref" in fields else ""
    return CacheSpec(fields["type"], reference, mode == "max", fields.get("ignore-error", "false") == "true")
