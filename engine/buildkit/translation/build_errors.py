"""Why a build has failed, as BuildKit's clients show it. Pure."""

import re
from collections.abc import Iterator

from google.protobuf.any_pb2 import Any
from grpc import StatusCode

from engine.buildkit.translation.source_excerpt import source_detail, vertex_detail
from engine.buildkit.v1.gateway_pb2 import Status
from shoal.api.v1.builds_pb2 import BuildFailure
from shoal.errors import InvalidInput, ShoalError

_LINE = re.compile(r":([0-9]+)$")
_MAX_SOURCE = 256 << 10
"""Of a file that is sent with an error: more does not fit into a trailer."""
_MAX_TEXT = 8 << 10


def status_of(error: ShoalError, failure: BuildFailure | None, name: str, text: bytes) -> Status:
    """The status of the call.

    Args:
        failure: which step has failed, if one has.
        name, text: of the Dockerfile, as far as they are known.
    """
    line = failure.line if failure is not None and failure.line else _line_of(error)
    return Status(
        code=StatusCode.UNKNOWN.value[0],  # clients show every other one with its name, more than once
        message=_text(error)[:_MAX_TEXT],
        details=_details(failure, name, text[:_MAX_SOURCE], line),
    )


def _details(failure: BuildFailure | None, name: str, text: bytes, line: int) -> Iterator[Any]:
    if failure is not None and failure.vertex_id:
        yield vertex_detail(failure.vertex_id)
    if line and text:
        yield source_detail(name, text, line)


def _text(error: ShoalError) -> str:
    """Faults of a Dockerfile have their lines."""
    if not isinstance(error, InvalidInput):
        return str(error)
    texts = []
    for fault in error.faults:
        match = _LINE.search(fault.path)
        texts.append(f"dockerfile parse error on line {match[1]}: {fault.message}" if match else str(fault))
    return "; ".join(texts)


def _line_of(error: ShoalError) -> int:
    """Of the first fault that has one."""
    faults = error.faults if isinstance(error, InvalidInput) else ()
    return next((int(match[1][:9]) for each in faults if (match := _LINE.search(each.path))), 0)
