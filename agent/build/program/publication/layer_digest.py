"""The digest of a layer, from an upper directory: that of its uncompressed tar."""

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from agent.archives.tar_stream import archive_layer
from agent.build.program.publication.source_date import limit_times
from shoal.errors import Unavailable


def layer_digest(
    upper: Path, epoch: int | None, stop: threading.Event, also: Callable[[bytes], object] | None = None
) -> tuple[str, int]:
    """The diff ID of an upper directory, and the bytes of its tar. Blocking.

    Args:
        epoch: no file is newer afterwards, seconds since the Unix epoch.
        also: gets the tar.
    Raises:
        InvalidInput: a name cannot be in a layer. OSError: the disk failed. Unavailable: it was stopped. What `also`
        raises.
    """
    digest, size = hashlib.sha256(), 0
    directory = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if epoch is not None:
            limit_times(directory, epoch)
        for chunk in archive_layer(directory, at_rest=True):
            if stop.is_set():
                raise Unavailable("the build was stopped")
            if also is not None:
                also(chunk)
            digest.update(chunk)
            size += len(chunk)
    finally:
        os.close(directory)
    return f"sha256:{digest.hexdigest()}", size
