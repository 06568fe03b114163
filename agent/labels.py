"""Labels that the operator gives this host: `rack=r1`, which constraints name as `engine.labels.rack`."""

import re
from collections.abc import Sequence

from agent.named_once import faults_of_each
from shoal.errors import Fault, InvalidInput

MOST = 256
LONGEST_VALUE = 4096
"""Bytes."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,255}")
"""What a constraint can name."""


def parse_label(text: str) -> tuple[str, str]:
    """Read one: its name and its value, which may be empty.

    Raises:
        InvalidInput: it has another form.
    """
    name, equals, value = text.partition("=")
    if not (equals and _NAME.fullmatch(name)):
        raise InvalidInput(
            f"{text[:100]!r} is not of the form NAME=VALUE, with a name of letters, digits and any of '._/-'"
        )
    if len(value.encode()) > LONGEST_VALUE or not value.isprintable():
        raise InvalidInput(f"the value of {name!r} has to be printable, and of at most {LONGEST_VALUE} bytes")
    return name, value


def parse_labels(texts: Sequence[str]) -> dict[str, str]:
    """Read them; the settings have checked them."""
    return dict(parse_label(text) for text in texts)


def label_faults(texts: Sequence[str]) -> list[Fault]:
    """What is wrong with them, each name having to be there once."""
    if len(texts) > MOST:
        return [Fault("--label", f"there are {len(texts)}; at most {MOST} are allowed")]
    return list(faults_of_each("--label", texts, lambda text: parse_label(text)[0]))
