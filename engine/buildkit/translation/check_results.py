"""What checks of a Dockerfile have found, as the subrequest `frontend.lint` answers it. Pure."""

import base64
import json
from collections.abc import Iterator, Sequence

from shoal.api.v1.builds_pb2 import BuildWarning
from shoal.dockerfile.source import Location, excerpt

_VERSION = "1.0.0"
_RULE = "-" * 20


def check_metadata(name: str, text: bytes, warnings: Sequence[BuildWarning]) -> dict[str, bytes]:
    """The metadata of the result.

    Args:
        name, text: of the Dockerfile.
    """
    found = sorted(warnings, key=lambda each: each.line)
    source = {"filename": name, "language": "Dockerfile", "data": base64.b64encode(text).decode()}
    document = {"warnings": [_warning(each) for each in found], "sources": [source]}
    return {
        "result.json": json.dumps(document, indent=2).encode(),
        "result.txt": "\n".join(_lines(name, text.decode(errors="replace"), found)).encode(),
        "result.statuscode": b"1" if found else b"0",
        "version": _VERSION.encode(),
    }


def _warning(warning: BuildWarning) -> dict[str, object]:
    position = {"line": warning.line}
    return {
        "ruleName": warning.rule,
        "description": warning.description,
        "url": warning.url,
        "detail": warning.text,
        "location": {"ranges": [{"start": position, "end": position}] if warning.line else []},
    }


def _lines(name: str, text: str, warnings: Sequence[BuildWarning]) -> Iterator[str]:
    for each in warnings:
        yield ""
        yield f"WARNING: {each.rule}{f' - {each.url}' if each.url else ''}"
        yield each.text
        if each.line:
            yield from (f"{name}:{each.line}", _RULE, *excerpt(text, Location(each.line, each.line)), _RULE)
    if warnings:
        yield ""
