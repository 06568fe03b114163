"""Health checks: `Healthcheck` of requests and images, and a spec's. Pure."""

from typing import Any

from engine.translate.fields import Fields
from shoal.api.v1.container_pb2 import ContainerSpec, Healthcheck

_TIMES = {
    "Interval": "interval_ms",
    "Timeout": "timeout_ms",
    "StartPeriod": "start_period_ms",
    "StartInterval": "start_interval_ms",
}
_NS = 1_000_000


def read_health(health: Fields, container: ContainerSpec) -> None:
    """Put a check into a spec. An empty test is the image's.

    Raises:
        ApiError: 400, it is not valid.
    """
    test = health.texts("Test")
    check = container.healthcheck
    check.SetInParent()
    if test and test[0] == "NONE":
        check.disabled = True
    elif test and test[0] not in ("CMD", "CMD-SHELL"):
        raise health.invalid("Test", f"unknown type {test[0]!r}; use NONE, CMD or CMD-SHELL")
    else:
        check.test.extend(test)
    for key, field in _TIMES.items():
        nanoseconds = health.number(key)
        if nanoseconds < 0 or 0 < nanoseconds < _NS:
            raise health.invalid(key, f"{key} in Healthcheck cannot be less than 1ms")
        setattr(check, field, nanoseconds // _NS)
    retries = health.number("Retries")
    if not 0 <= retries < 1 << 31:
        raise health.invalid("Retries", "Retries in Healthcheck cannot be negative")
    check.retries = retries


def health_document(check: Healthcheck) -> dict[str, Any]:
    """The document of a check; keys that are 0 are left out, as Docker does."""
    document: dict[str, Any] = {}
    if check.disabled:
        document["Test"] = ["NONE"]
    elif check.test:
        document["Test"] = list(check.test)
    elif check.HasField("http"):
        document["Test"] = ["CMD-SHELL", f"GET http://localhost:{check.http.port}{check.http.path or '/'}"]
    elif check.HasField("tcp"):
        document["Test"] = ["CMD-SHELL", f"connect localhost:{check.tcp.port}"]
    for key, field in _TIMES.items():
        if getattr(check, field):
            document[key] = getattr(check, field) * _NS
    if check.retries:
        document["Retries"] = check.retries
    return document
