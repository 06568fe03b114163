"""Parse where the result of a build goes, in BuildKit's notation."""

from collections.abc import Mapping
from dataclasses import dataclass

from shoal.errors import InvalidInput
from shoal.spec_parsers.builds.csv_fields import csv_fields, csv_words
from shoal.spec_parsers.go_booleans import GO_BOOLEANS
from shoal.spec_parsers.integers import parse_count

OUTPUT_TYPES = ("image", "registry", "docker", "oci", "local", "tar", "cacheonly")
COMPRESSIONS = ("gzip", "zstd")
_IMAGE_KEYS = ("name", "push", "compression", "compression-level", "force-compression", "oci-mediatypes", "store")
_FILE_KEYS = ("dest",)


@dataclass(frozen=True)
class BuildOutputOption:
    """One `--output`.

    Attributes:
        kind: one of `OUTPUT_TYPES`.
        destination: a path; "-" is standard output. Empty where the kind has none.
        names: of the image, beside those of `--tag`.
        media_types: "docker", "oci", or nothing.
    """

    kind: str
    destination: str = ""
    names: tuple[str, ...] = ()
    push: bool = False
    compression: str = ""
    compression_level: int = 0
    media_types: str = ""


def parse_output(text: str) -> BuildOutputOption:
    """An output in "type=local,dest=out", "type=image,name=web,push=true", "out" or "-".

    Raises:
        InvalidInput: an unknown type or key, or no destination.
    """
    words = csv_words(text)
    if len(words) == 1 and "=" not in words[0]:
        return BuildOutputOption("tar" if words[0] == "-" else "local", words[0])
    fields = csv_fields(text)
    kind = fields.pop("type", "")
    if not kind:
        raise InvalidInput(f"{text!r}: type is missing; it is one of {', '.join(OUTPUT_TYPES)}")
    if kind not in OUTPUT_TYPES:
        raise InvalidInput(f"{text!r}: type {kind!r} is not supported; use one of {', '.join(OUTPUT_TYPES)}")
    known = (*_FILE_KEYS, *_IMAGE_KEYS) if kind in ("docker", "oci") else _IMAGE_KEYS if _is_image(kind) else _FILE_KEYS
    for key in fields:
        if key not in known:
            raise InvalidInput(f"{text!r}: {key!r} is not supported for type {kind}; use {', '.join(known)}")
    destination = fields.get("dest", "")
    if not destination and kind in ("local", "tar"):
        raise InvalidInput(f"{text!r}: dest is missing")
    if destination == "-" and kind == "local":
        raise InvalidInput(f"{text!r}: dest must be a directory; use type=tar for standard output")
    return BuildOutputOption(
        kind,
        destination,
        tuple(name for name in fields.get("name", "").split(",") if name),
        push=_flag(fields, "push") or kind == "registry",
        compression=_compression(fields.get("compression", "")),
        compression_level=parse_count(fields.get("compression-level") or "0", 22, key="compression-level"),
        media_types=_media_types(fields, kind),
    )


def _is_image(kind: str) -> bool:
    return kind in ("image", "registry")


def _compression(text: str) -> str:
    if text and text not in COMPRESSIONS:
        raise InvalidInput(f"compression {text!r} is not supported; use {' or '.join(COMPRESSIONS)}")
    return text


def _media_types(fields: Mapping[str, str], kind: str) -> str:
    if kind == "oci":
        return "oci"
    return ("oci" if _flag(fields, "oci-mediatypes") else "docker") if "oci-mediatypes" in fields else ""


def _flag(fields: Mapping[str, str], key: str) -> bool:
    if key not in fields:
        return False
    if fields[key] not in GO_BOOLEANS:
        raise InvalidInput(f"{key} must be true or false, not {fields[key]!r}")
    return GO_BOOLEANS[fields[key]]
