"""The file `origin.json` of a kept root file system. Blocking.

It is a file of its own since it may change, which the record of the image below a root file system must never do. One
that is lost or damaged costs nothing: what managers do not list is then kept until a user removes it.
"""

import json
import logging
from dataclasses import asdict
from pathlib import Path

from agent.worker.root_origin import UNKNOWN_ORIGIN, RootOrigin
from shoal.identity.private_files import write_atomically

_FILE = "origin.json"
_log = logging.getLogger(__name__)


def write_first_origin(place: Path, origin: RootOrigin) -> None:
    """Write the file of a root file system that nobody sees yet. Raises OSError."""
    place.joinpath(_FILE).write_bytes(_content(origin))


def replace_origin(place: Path, origin: RootOrigin) -> None:
    """Replace the file; afterwards it survives a crash of the host. Raises OSError: the old one is still there."""
    write_atomically(place / _FILE, _content(origin))


def read_origin(place: Path) -> RootOrigin:
    """The file's content; `UNKNOWN_ORIGIN` when there is none, or it is damaged."""
    try:
        stored = json.loads((place / _FILE).read_bytes())
        return RootOrigin(
            epoch=str(stored["epoch"]),
            revision=int(stored["revision"]),
            name=str(stored["name"]),
            image=str(stored["image"]),
            created_at_ms=int(stored["created_at_ms"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("cannot read %s: %s", place / _FILE, error)
        return UNKNOWN_ORIGIN


def _content(origin: RootOrigin) -> bytes:
    return json.dumps(asdict(origin)).encode()
