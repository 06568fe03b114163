"""Progress as JSON, a document a line: BuildKit's `--progress=rawjson`, that is its SolveStatus. Pure.

moby/buildkit, client/graph.go.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime


def vertex_document(
    identifier: str,
    name: str,
    *,
    inputs: Sequence[str] = (),
    started_ms: int = 0,
    completed_ms: int = 0,
    cached: bool = False,
    error: str = "",
) -> dict[str, object]:
    """A vertex: what it is, or that it has begun or ended."""
    document: dict[str, object] = {"digest": identifier}
    if inputs:
        document["inputs"] = list(inputs)
    document["name"] = name
    if started_ms:
        document["started"] = _time(started_ms)
    if completed_ms:
        document["completed"] = _time(completed_ms)
    if cached:
        document["cached"] = True
    return document | ({"error": error} if error else {})


def status_document(
    identifier: str, name: str, current: int, total: int, *, now_ms: int, started_ms: int, completed_ms: int = 0
) -> dict[str, object]:
    """A part of a vertex's work."""
    document: dict[str, object] = {"id": name, "vertex": identifier, "name": name, "current": current}
    if total:
        document["total"] = total
    document |= {"timestamp": _time(now_ms), "started": _time(started_ms)}
    return document | ({"completed": _time(completed_ms)} if completed_ms else {})


def log_document(identifier: str, stream: int, data: bytes, *, now_ms: int) -> dict[str, object]:
    """Output of a vertex."""
    text = base64.b64encode(data).decode()
    return {"vertex": identifier, "stream": stream, "data": text, "timestamp": _time(now_ms)}


def warning_document(identifier: str, text: str, *, url: str = "", detail: Sequence[str] = ()) -> dict[str, object]:
    """A warning."""
    document: dict[str, object] = {"vertex": identifier, "level": 1, "short": base64.b64encode(text.encode()).decode()}
    if detail:
        document["detail"] = [base64.b64encode(each.encode()).decode() for each in detail]
    return document | ({"url": url} if url else {})


def line(kind: str, documents: Sequence[Mapping[str, object]]) -> str:
    """A document of a stream.

    Args:
        kind: "vertexes", "statuses", "logs" or "warnings".
    """
    return json.dumps({kind: list(documents)}, separators=(",", ":"))


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
