"""A small JSON document on disk, read and checked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from shoal.errors import InvalidInput, Unavailable

T = TypeVar("T")


def load_json(path: Path, parse: Callable[[Any], T], remedy: str = "") -> T | None:
    """What `parse` makes of the file's document; None: there is no file.

    Args:
        parse: may raise ValueError, TypeError or KeyError: the document is another one.
        remedy: what the operator can do where it is damaged, beginning with "delete".
    Raises:
        InvalidInput: the file is damaged. Unavailable: it cannot be read.
    """
    try:
        return parse(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidInput(f"{path} is damaged: {error}{remedy and f'; {remedy}'}") from error
