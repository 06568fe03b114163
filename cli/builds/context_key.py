"""Which contexts are compared: those of the same image, else of the same directory of the same machine. Pure."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from shoal.image_reference import parse


def context_key(names: Sequence[str], directory: Path) -> str:
    """A text that says nothing of the directory.

    Checkouts of the same source are in many places, on many machines, and their images have the same name.
    """
    what = parse(names[0]).name if names else f"{os.uname().nodename}:{directory.resolve()}"
    return hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()
