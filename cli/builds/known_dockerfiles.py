"""Dockerfiles that were read without a fault, with the images that they begin with or copy from.

To load what reads one takes as long as all else that a small build does here, so what was found is kept between builds.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from cli.builds.known_digests import cache_directory
from shoal.api.v1.builds_pb2 import BuildStart

_FORMAT = b"1"
MAX_FILES = 256
"""The ones read last stay."""
_IMAGE_OF_AN_ARGUMENT = re.compile(rb"^\s*(?:FROM|ARG|ONBUILD)\b.*[$\\]|from=\S*\$|^#", re.IGNORECASE | re.MULTILINE)
"""Where arguments may decide which images there are, or which frontend; also directives, for escapes."""


def dockerfile_key(text: bytes, name: str, start: BuildStart) -> str:
    """Of all that decides what is found in a Dockerfile. Arguments do so only where a line says it."""
    asked = BuildStart(target=start.target, platform=start.platform, contexts=start.contexts)
    if _IMAGE_OF_AN_ARGUMENT.search(text) or any(each.startswith("BUILDKIT_") for each in start.build_args):
        asked.build_args.update(start.build_args)
    parts = (_FORMAT, name.encode("utf-8", "surrogateescape"), asked.SerializeToString(deterministic=True))
    return hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in (*parts, text))).hexdigest()


def known_images(environment: Mapping[str, str], key: str) -> Sequence[str] | None:
    """What was found in a Dockerfile; None: it has to be read."""
    try:
        found = json.loads((_directory(environment) / key).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, list) and all(isinstance(each, str) for each in found) else None


def remember_images(environment: Mapping[str, str], key: str, images: Sequence[str]) -> None:
    """Keep what was found; an error only costs time."""
    directory = _directory(environment)
    with suppress(OSError):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = directory / f"{key}.{os.getpid()}"
        draft.write_text(json.dumps(list(images)))
        draft.replace(directory / key)
        for each in sorted(directory.iterdir(), key=lambda each: each.stat().st_mtime_ns)[:-MAX_FILES]:
            each.unlink()


def _directory(environment: Mapping[str, str]) -> Path:
    return cache_directory(environment) / "dockerfiles"
