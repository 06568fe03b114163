"""Logging of the daemons to standard error, one line per record.

Secrets are kept out where they live: identities and tokens hide theirs from `repr`. As a second line, join tokens in
any text are cut before their secret.
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import TextIO

from shoal.telemetry.request_context import RequestContext, current_request

FORMATS = TEXT, JSON = "text", "json"
LEVELS = ("debug", "info", "warning", "error")

_TOKEN = re.compile(r"(SHOAL-1-[a-z2-7]{8})[a-z2-7]*-[0-9a-z]+")
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)


_fields: dict[str, str] = {}


def set_log_fields(**fields: str) -> None:
    """Fields of every record in JSON from now on: `node` or `manager`, the id of the program's own."""
    _fields.update(fields)


def configure(level: str, *, json: bool, stream: TextIO | None = None) -> None:
    """Send every record from this level on to the stream, standard error unless named. May be called again.

    Args:
        level: one of LEVELS.
        json: one JSON object a line, else text.
    Raises:
        ValueError: no such level.
    """
    if level not in LEVELS:
        raise ValueError(f"log level {level!r} must be one of {', '.join(LEVELS)}")
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.addFilter(_add_request)
    handler.setFormatter(JsonFormatter() if json else LineFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for chatty in ("asyncio", "httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class LineFormatter(logging.Formatter):
    """`2026-03-01T12:00:00.123Z WARNING manager.planner: …`, with line ends and other control characters as escapes."""

    def format(self, record: logging.LogRecord) -> str:
        request = _request(record)
        about = f" [request {request.request_id}]" if request is not None else ""
        text = f"{_time(record)} {record.levelname} {record.name}:{about} {record.getMessage()}"
        trace = _trace(self, record)
        return _one_line(without_secrets(f"{text} | {trace}" if trace else text))


class JsonFormatter(logging.Formatter):
    """An object with `time` (RFC 3339), `level`, `logger`, `message`; `node` or `manager`; of what a request has caused
    `request_id`, and `trace_id` where it is traced; and, of an exception, `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
            **_fields,
        }
        if (request := _request(record)) is not None:
            fields["request_id"] = request.request_id
            if request.trace_id:
                fields["trace_id"] = request.trace_id
        trace = _trace(self, record)
        if trace:
            fields["traceback"] = without_secrets(trace)
        return json.dumps(fields, ensure_ascii=False)


def without_secrets(text: str) -> str:
    """The text with the secrets of join tokens and private keys cut out."""
    return _KEY.sub("[private key]", _TOKEN.sub(r"\1…", text))


def _add_request(record: logging.LogRecord) -> bool:
    """Here, in the task that logs."""
    record.request = current_request()
    return True


def _request(record: logging.LogRecord) -> RequestContext | None:
    request: RequestContext | None = getattr(record, "request", None)
    return request


def _time(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info else ""


def _one_line(text: str) -> str:
    """Ends of lines and other control characters as escapes: text from elsewhere must not move a cursor."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
