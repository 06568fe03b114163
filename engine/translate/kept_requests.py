"""What a client has sent, kept with what was made of it. Pure.

Clients compare what they read with what they wrote, and the cluster's messages do not have all of that. So each key of
a request is told back as it was sent while it still means what is in force.
"""

import json
from collections.abc import Mapping
from typing import Any

from engine.protocol.versions import ApiVersion

MAX_KEPT_BYTES = 64 * 1024


def keep(document: Mapping[str, Any], version: ApiVersion) -> bytes:
    """A request as it is kept; empty if it is longer than `MAX_KEPT_BYTES`."""
    text = json.dumps({"Version": str(version), "Body": document}, ensure_ascii=False, separators=(",", ":"))
    kept = text.encode(errors="replace")
    return kept if len(kept) <= MAX_KEPT_BYTES else b""


def read_kept(kept: bytes) -> tuple[Mapping[str, Any], ApiVersion] | None:
    """The body of a kept request, and the version that it came by; None where there is none that can be read."""
    try:
        found = json.loads(kept)
        body, version = found["Body"], ApiVersion.parse(found["Version"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return (body, version) if isinstance(body, dict) else None


def as_sent(current: Mapping[str, Any], then: Mapping[str, Any], sent: Mapping[str, Any]) -> dict[str, Any]:
    """A document with each part as it was sent where that still means what is in force.

    Args:
        current: of what is in force.
        then: of what the request means.
        sent: the request. What is empty in it says nothing: `current` has the defaults.
    """
    document = dict(current)
    for name, value in sent.items():
        if value in (None, "", 0, [], {}):
            continue
        key = _known(name, current, then)
        if key in current and key in then:
            document[key] = _part(current[key], then[key], value)
        elif key not in current and key not in then:
            document[key] = value
    return document


def _known(name: str, *documents: Mapping[str, Any]) -> str:
    """A key as the documents write it: clients may write it in any case."""
    if any(name in document for document in documents):
        return name
    lowered = name.lower()
    return next((key for document in documents for key in document if key.lower() == lowered), name)


def _part(current: Any, then: Any, sent: Any) -> Any:
    if isinstance(current, dict) and isinstance(then, dict) and isinstance(sent, dict):
        return as_sent(current, then, sent)
    if current != then:
        return current
    if isinstance(current, list) and isinstance(sent, list) and len(current) == len(sent):
        return [_part(one, one, other) for one, other in zip(current, sent, strict=True)]
    return sent
