"""What a client wants the result of a build to be: BuildKit's exporters. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.buildkit.v1.control_pb2 import Exporter, SolveRequest
from shoal.api.v1.builds_pb2 import BuildStart
from shoal.errors import InvalidInput
from shoal.image_reference import parse
from shoal.spec_parsers.go_booleans import GO_BOOLEANS

_OUTPUTS = {
    "moby": BuildStart.IMAGE,
    "image": BuildStart.IMAGE,
    "docker": BuildStart.DOCKER_ARCHIVE,
    "oci": BuildStart.OCI_ARCHIVE,
    "tar": BuildStart.FILES,
    "local": BuildStart.FILES,
}
_REFUSED = ("push-by-digest", "name-canonical", "buildinfo", "attestation-inline", "oci-artifact")
_COMPRESSIONS = ("gzip", "zstd")


@dataclass(frozen=True)
class ResultOptions:
    """Attributes:
    kind: the exporter's type; empty: the result stays in the cache.
    """

    kind: str
    output: BuildStart.Output.ValueType
    names: tuple[str, ...] = ()
    is_pushed: bool = False
    media_types: str = ""
    compression: str = ""
    compression_level: int = 0

    @property
    def is_file(self) -> bool:
        """Whether the client writes the result into one file."""
        return self.kind in ("docker", "oci", "tar")

    @property
    def is_directory(self) -> bool:
        """Whether the client writes it into a directory."""
        return self.kind == "local"


def read_exporter(request: SolveRequest) -> ResultOptions:
    """The exporter of a request.

    Raises:
        InvalidInput: it is not served, or one of its attributes.
    """
    exporters = _exporters(request)
    if len(exporters) > 1:
        raise InvalidInput("several outputs of one build are not supported; build again for each of them")
    if not exporters:
        return ResultOptions("", BuildStart.NONE)
    kind, attrs = exporters[0].type, exporters[0].attrs
    if kind not in _OUTPUTS:
        raise InvalidInput(f"exporter {kind[:40]!r} is not supported; use image, docker, oci, tar or local")
    _check(attrs)
    return ResultOptions(
        kind,
        _OUTPUTS[kind],
        names=_names(attrs.get("name", "")),
        is_pushed=_boolean(attrs, "push"),
        media_types="oci" if _boolean(attrs, "oci-mediatypes") or kind == "oci" else "",
        compression=attrs.get("compression", ""),
        compression_level=_level(attrs.get("compression-level", "")),
    )


def _exporters(request: SolveRequest) -> Sequence[Exporter]:
    if request.exporters or not request.exporter_deprecated:
        return request.exporters
    return [Exporter(type=request.exporter_deprecated, attrs=request.exporter_attrs_deprecated)]


def _check(attrs: Mapping[str, str]) -> None:
    for key in _REFUSED:
        if _boolean(attrs, key):
            raise InvalidInput(f"attribute {key} of the output is not supported")
    if any(key.startswith("annotation") for key in attrs):
        raise InvalidInput("annotations of the image are not supported; use labels")
    if "tar" in attrs and not _boolean(attrs, "tar"):
        raise InvalidInput("images are exported as one archive; tar=false is not supported")
    if attrs.get("compression", "gzip") not in _COMPRESSIONS:
        raise InvalidInput(f"compression {attrs['compression'][:40]!r} is not supported; use gzip or zstd")


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(parse(each).with_default_tag()) for each in text.split(",") if each))


def _boolean(attrs: Mapping[str, str], key: str) -> bool:
    text = attrs.get(key, "")
    if text and text not in GO_BOOLEANS:
        raise InvalidInput(f"attribute {key} of the output: {text[:40]!r} is neither true nor false")
    return GO_BOOLEANS.get(text, False)


def _level(text: str) -> int:
    if text and not (text.isascii() and text.isdecimal() and len(text) <= 2):
        raise InvalidInput(f"attribute compression-level of the output: {text[:40]!r} is no level")
    return int(text or 0)
