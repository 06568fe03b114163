"""Logging of the daemons: one line a record, UTC, no secrets."""

import io
import json
import logging
import warnings
from collections.abc import Generator

import pytest

from shoal.telemetry import log_formatters
from shoal.telemetry.request_context import serve

TOKEN = f"SHOAL-1-{'a' * 52}-{'0' * 25}"


@pytest.fixture(autouse=True)
def restored_logging() -> Generator[None]:
    root = logging.getLogger()
    handlers, level, showwarning = root.handlers[:], root.level, warnings.showwarning
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    warnings.showwarning = showwarning


def _logged(*, as_json: bool, message: str, failure: Exception | None = None) -> str:
    """Of no request."""
    stream = io.StringIO()
    serve(None)
    log_formatters.configure("info", json=as_json, stream=stream)
    logging.getLogger("manager.planner").debug("not seen")
    logging.getLogger("manager.planner").warning("%s", message, exc_info=failure)
    return stream.getvalue()


def test_a_record_is_one_line_with_the_time_in_utc() -> None:
    line = _logged(as_json=False, message="two\nlines", failure=ValueError("why\nnot"))
    assert line.count("\n") == 1
    assert "Z WARNING manager.planner: two\\nlines | " in line
    assert line.endswith("ValueError: why\\nnot\n")


def test_what_a_node_says_cannot_move_the_cursor_of_who_reads_the_log() -> None:
    line = _logged(as_json=False, message="a\x1b[2J\x9b1A\tb é")
    assert line.endswith("manager.planner: a\\x1b[2J\\x9b1A\\tb é\n")


def test_a_record_as_json() -> None:
    fields = json.loads(_logged(as_json=True, message="é\n", failure=ValueError("why")))
    assert (fields["level"], fields["logger"], fields["message"]) == ("warning", "manager.planner", "é\n")
    assert fields["time"].endswith("Z")
    assert "ValueError: why" in fields["traceback"]


@pytest.mark.parametrize("as_json", [False, True])
def test_secrets_are_cut(as_json: bool) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----"
    line = _logged(as_json=as_json, message=f"{TOKEN} and {key}", failure=ValueError(TOKEN))
    assert "0" * 25 not in line
    assert "MIGH" not in line
    assert "SHOAL-1-aaaaaaaa…" in line


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="debug, info, warning, error"):
        log_formatters.configure("loud", json=False)
