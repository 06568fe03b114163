"""Convert `healthcheck`, and `x-healthcheck` for HTTP and TCP checks."""

from collections.abc import Mapping
from typing import Any

from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.compose.reading.scalar_values import duration_ms, parse_bool, parse_int, scalar_text
from shoal.errors import InvalidInput
from shoal.spec_parsers.health_checks import healthcheck_of, set_probe

_TIMES = {
    "interval": "interval_ms",
    "timeout": "timeout_ms",
    "start_period": "start_period_ms",
    "start_interval": "start_interval_ms",
}


def healthcheck(spec: ServiceSpec, value: Mapping[str, Any]) -> None:
    """A text is run by the container's shell, a list begins with CMD, CMD-SHELL or NONE."""
    if parse_bool(value.get("disable") or False):
        healthcheck_of(spec).disabled = True  # what an earlier file says of the test has no effect
        return
    test = value.get("test")
    if test is not None:
        set_probe(spec, test=["CMD-SHELL", test] if isinstance(test, str) else [scalar_text(word) for word in test])
    _numbers(spec, value)


def x_healthcheck(spec: ServiceSpec, value: Any) -> None:
    """`http: ":80/health"` or `tcp: 80`, with the times and retries of `healthcheck`.

    Raises:
        InvalidInput: an unknown key, or not one of http and tcp.
    """
    if not isinstance(value, Mapping) or len({"http", "tcp"} & set(value)) != 1:
        raise InvalidInput('must have either http or tcp, such as {http: ":80/health"}')
    if unknown := sorted(set(map(str, value)) - {"http", "tcp", "retries", *_TIMES}):
        raise InvalidInput(f"unknown key {unknown[0]!r}; allowed keys are http, tcp, retries, {', '.join(_TIMES)}")
    if healthcheck_of(spec).disabled:
        raise InvalidInput("cannot be combined with healthcheck.disable")
    if healthcheck_of(spec).test:
        raise InvalidInput("cannot be combined with healthcheck.test")
    set_probe(spec, http=scalar_text(value.get("http", "")), tcp=scalar_text(value.get("tcp", "")))
    _numbers(spec, value)


def _numbers(spec: ServiceSpec, value: Mapping[str, Any]) -> None:
    check = healthcheck_of(spec)
    for key, field in _TIMES.items():
        if key in value:
            setattr(check, field, duration_ms(value[key]))
    if "retries" in value:
        check.retries = parse_int(value["retries"])
