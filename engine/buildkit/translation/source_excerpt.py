"""Lines of a Dockerfile as clients show them beside errors and warnings. Pure."""

import base64
import json

from google.protobuf.any_pb2 import Any

from engine.buildkit.v1.ops_pb2 import Position, Range, SourceInfo

_LANGUAGE = "Dockerfile"
_PREFIX = "github.com/moby/buildkit/"


def source_info(name: str, text: bytes) -> SourceInfo:
    """The file."""
    return SourceInfo(filename=name, data=text, language=_LANGUAGE)


def line_range(line: int) -> Range:
    """One line of it, from 1."""
    return Range(start=Position(line=line), end=Position(line=line))


def source_detail(name: str, text: bytes, line: int) -> Any:
    """A detail of an error: where in the file it is. BuildKit's details are JSON."""
    position = {"line": line}
    return _detail(
        "errdefs.Source+json",
        {
            "info": {"filename": name, "data": base64.b64encode(text).decode(), "language": _LANGUAGE},
            "ranges": [{"start": position, "end": position}],
        },
    )


def vertex_detail(digest: str) -> Any:
    """A detail of an error: which step has failed."""
    return _detail("errdefs.Vertex+json", {"digest": digest})


def _detail(kind: str, document: object) -> Any:
    return Any(type_url=_PREFIX + kind, value=json.dumps(document).encode())
