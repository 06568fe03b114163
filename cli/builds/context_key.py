"""Which contexts are compared: those of the same image, else of the same directory of the same machine. Pure."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from shoal.build_contexts.context_keys import image_context_key


def context_key(names: Sequence[str], directory: Path) -> str:
    """A text that says nothing of the directory.

    Checkouts of the same source are in many places, on many machines, and their images have the same name.
    """
    if names:
        return image_context_key(names[0])
    place = f"{os.uname().nodename}:{directory.resolve()}"
    return hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()
