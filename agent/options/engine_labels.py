"""Labels that the operator gives this host: `rack=r1` is `engine.labels.rack` in constraints."""

import re
from collections.abc import Sequence

from agent.options.unique_names import faults_of_each
from shoal.errors import Fault, InvalidInput

MAX_LABELS = 256
MAX_VALUE_BYTES = 4096
"""Bytes."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,255}")
"""Names that a constraint can use."""


def parse_label(text: str) -> tuple[str, str]:
    """Parse one label: its name and its value, which may be empty.

    Raises:
        InvalidInput: it is in another form.
    """
    name, equals, value = text.partition("=")
    if not (equals and _NAME.fullmatch(name)):
        raise InvalidInput(
            f"{text[:100]!r} must be in the form NAME=VALUE; NAME may contain letters, digits and '._/-'"
        )
    if len(value.encode()) > MAX_VALUE_BYTES or not value.isprintable():
        raise InvalidInput(f"the value of {name!r} must be printable and at most {MAX_VALUE_BYTES} bytes long")
    return name, value


def parse_labels(texts: Sequence[str]) -> dict[str, str]:
    """Parse labels that the settings have validated."""
    return dict(parse_label(text) for text in texts)


def label_faults(texts: Sequence[str]) -> list[Fault]:
    """Errors of these options; each name may be given once."""
    if len(texts) > MAX_LABELS:
        return [Fault("--label", f"too many labels ({len(texts)}); the maximum is {MAX_LABELS}")]
    return list(faults_of_each("--label", texts, lambda text: parse_label(text)[0]))
