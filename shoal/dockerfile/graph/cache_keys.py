"""Keys of results in a cache. Pure.

A key is the SHA-256 of all that a layer depends on. Its parents are in it by their *results*: a command that is changed
and makes the same layer lets all after it be found. What is copied is in it by its content, never by its path. Values
of secrets, proxies and cache directories are in no key.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from shoal.dockerfile.evaluation.build_steps import CopyAction, RunAction
from shoal.dockerfile.graph.vertices import CopyVertex, KeyedVertex, RunVertex
from shoal.dockerfile.run_mounts import RunMount
from shoal.errors import InvalidInput

KEY_VERSION = 1
"""Changes when a builder of another version would make another layer of the same vertex."""


class KeyInputs(NamedTuple):
    """Results that a key depends on.

    Attributes:
        parent: diff ids of the parent's layers, the lowest first; none for nothing, and with `--link`.
        contents: digests of what is copied or mounted: names as they are placed, modes, owners, link targets and bytes,
            no times. Of a copy: one for all of its paths, if it has any, then one for each remote source. Of a command:
            one for each mount that has files from elsewhere.
    """

    parent: Sequence[str] = ()
    contents: Sequence[str] = ()


def cache_key(vertex: KeyedVertex, inputs: KeyInputs) -> str:
    """64 hexadecimal digits.

    Raises:
        InvalidInput: the number of contents is not that of the vertex's sources.
    """
    expected = content_count(vertex)
    if len(inputs.contents) != expected:
        raise InvalidInput(f"the key needs {expected} contents, and has {len(inputs.contents)}")
    document = {
        "version": KEY_VERSION,
        "parent": list(inputs.parent),
        "contents": list(inputs.contents),
        **_arguments(vertex),
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def content_count(vertex: KeyedVertex) -> int:
    """How many digests of contents its key needs."""
    if isinstance(vertex, RunVertex):
        return sum(source is not None for source in vertex.mounted)
    if isinstance(vertex, CopyVertex):
        return (vertex.source is not None) + len(vertex.action.remotes)
    return 0


def _arguments(vertex: KeyedVertex) -> dict[str, Any]:
    if isinstance(vertex, RunVertex):
        return {"kind": "run", "mounted": [source is not None for source in vertex.mounted], **_run(vertex.action)}
    if isinstance(vertex, CopyVertex):
        return {"kind": "copy", "linked": vertex.parent is None, **_copy(vertex)}
    return {"kind": "directory", "path": vertex.action.path, "user": vertex.action.user}


def _run(action: RunAction) -> dict[str, Any]:
    return {
        "arguments": action.arguments,
        "environment": action.environment,
        "directory": action.directory,
        "user": action.user,
        "platform": str(action.platform),
        "mounts": [_mount(each.mount) for each in action.mounts],
        "scripts": action.scripts,
        "network": action.network,
        "security": action.security,
    }


def _mount(mount: RunMount) -> dict[str, Any]:
    """Its options; the content of a source is in the key, so its path is not."""
    options = {"type": type(mount).__name__, **asdict(mount)}
    return options | {"source": ""} if "source" in options else options


def _copy(vertex: CopyVertex) -> dict[str, Any]:
    action: CopyAction = vertex.action
    return {
        "add": action.is_add,
        "from_paths": vertex.source is not None,
        "destination": action.destination,
        "files": action.files,
        "owner": _owner(action.flags.chown),
        "mode": _mode(action.flags.chmod),
        "unpack": action.flags.unpack,
    }


def _owner(chown: str) -> str:
    """User and group; a number alone is both of them (Dockerfile reference, "COPY --chown --chmod")."""
    if not chown:
        return "0:0"
    return f"{chown}:{chown}" if ":" not in chown else chown


def _mode(chmod: str) -> str:
    return f"{int(chmod, 8):o}" if chmod.isdecimal() else chmod
