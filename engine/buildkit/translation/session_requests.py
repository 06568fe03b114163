"""`POST /build` of version 2: a build whose client has a session, by the query of a classic one. Pure.

Docker's command line before 23.0 builds so with DOCKER_BUILDKIT=1, or where the engine says that it has BuildKit.
"""

import base64
from collections.abc import Sequence
from typing import Any

from engine.buildkit.translation.exporters import ResultOptions, read_exporter
from engine.buildkit.translation.frontend_options import FrontendOptions
from engine.buildkit.v1.control_pb2 import Exporter, SolveRequest, StatusResponse
from engine.translate.images.build_request import BuildQuery
from shoal.api.v1.builds_pb2 import BuildStart
from shoal.errors import InvalidInput

UPLOAD = "upload-request"
"""`remote` of a build whose context is the body of another request, whose `buildid` begins so."""
_SESSION = "client-session"


def read_outputs(query: BuildQuery, names: Sequence[str]) -> ResultOptions:
    """What the result is to be; an image where nothing is said.

    Raises:
        InvalidInput: it is not served.
    """
    exporters = []
    for each in query.json("outputs", list, []):
        attrs = each.get("Attrs") or {} if isinstance(each, dict) else {}
        if not isinstance(attrs, dict) or not all(isinstance(value, str) for value in attrs.values()):
            raise InvalidInput("error reading outputs: attributes must be strings")
        exporters.append(Exporter(type=str(each.get("Type", "")) if isinstance(each, dict) else "", attrs=attrs))
    if not exporters:
        exporters.append(Exporter(type="moby", attrs={"name": ",".join(names)}))
    return read_exporter(SolveRequest(exporters=exporters))


def session_build(query: BuildQuery, start: BuildStart, result: ResultOptions) -> FrontendOptions:
    """The build.

    Args:
        start: as `read_build` has read it; it gets where the context is, and what the result is to be.
    """
    remote = query.text("remote")
    is_local = remote == _SESSION
    name = start.dockerfile or "Dockerfile"
    start.dockerfile = ""
    start.remote_context = "" if is_local or is_archive(query) else remote
    del start.names[:]
    start.names.extend(result.names)
    start.output = result.output
    return FrontendOptions(
        start=start,
        file_name=name,
        dockerfile_directory="dockerfile" if is_local else "",
        context_directory="context" if is_local else "",
        upload="",
        directories={},
        sessions={},
    )


def is_archive(query: BuildQuery) -> bool:
    """Whether the context is the body of a request: of this one, or of another one."""
    return query.text("remote") in ("", UPLOAD)


def trace_line(progress: StatusResponse) -> dict[str, Any]:
    """Progress as a line of the answer."""
    return {"id": "moby.buildkit.trace", "aux": base64.b64encode(progress.SerializeToString()).decode()}


def result_lines(image_id: str, *, quiet: bool) -> list[dict[str, Any]]:
    """The image as lines of the answer; none where the result is no image."""
    if not image_id:
        return []
    shown = [{"stream": f"{image_id}\n"}] if quiet else []
    return [{"id": "moby.image.id", "aux": {"ID": image_id}}, *shown]
