"""Validation of a health check. Pure: yields every fault."""

import re
from collections.abc import Iterator

from manager.validation import bounds
from manager.validation.text_rules import check_duration, check_range, check_texts
from shoal.api.v1.container_pb2 import Healthcheck
from shoal.errors import Fault

MIN_MS = 1
_KINDS = ("CMD", "CMD-SHELL", "NONE")
_PATH = re.compile(r"/[!-~]*")
_TIMES = ("interval_ms", "timeout_ms", "start_period_ms", "start_interval_ms")


def check_health(path: str, check: Healthcheck) -> Iterator[Fault]:
    """Every fault of a health check; an empty one is valid."""
    given = [name for name in ("http", "tcp") if check.HasField(name)] + (["test"] if check.test else [])
    if len(given) > 1:
        yield Fault(path, f"has {' and '.join(sorted(given))}; use only one of them")
    if check.disabled and given:
        yield Fault(path, f"is disabled; remove {' and '.join(sorted(given))}")
    yield from _check_test(f"{path}.test", check)
    if check.HasField("http"):
        yield from check_range(f"{path}.http.port", check.http.port, 1, 65535)
        if check.http.path and not _PATH.fullmatch(check.http.path):
            yield Fault(f"{path}.http.path", f'"{check.http.path[:80]}" must be a path such as /health')
    if check.HasField("tcp"):
        yield from check_range(f"{path}.tcp.port", check.tcp.port, 1, 65535)
    for name in _TIMES:
        yield from check_duration(f"{path}.{name}", getattr(check, name), bounds.GRACE_MS)
    yield from check_range(f"{path}.retries", check.retries, 0, 1000)


def _check_test(path: str, check: Healthcheck) -> Iterator[Fault]:
    if not check.test:
        return
    yield from check_texts(path, check.test)
    kind, *words = check.test
    if kind not in _KINDS:
        yield Fault(f"{path}[0]", f'"{kind[:80]}" must be one of {", ".join(_KINDS)}')
    elif kind == "CMD" and not words:
        yield Fault(path, "CMD requires a command")
    elif kind == "CMD-SHELL" and len(words) != 1:
        yield Fault(path, "CMD-SHELL requires exactly one argument")
    elif kind == "NONE" and words:
        yield Fault(path, "NONE does not accept arguments")
