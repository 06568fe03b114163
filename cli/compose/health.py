"""`healthcheck` of a Compose service, and `x-healthcheck` for what Compose has no key for."""

from collections.abc import Mapping
from typing import Any

from cli.compose.values import duration_ms, number, scalar, truth
from cli.flags.health import ask, check_of
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput

_TIMES = {
    "interval": "interval_ms",
    "timeout": "timeout_ms",
    "start_period": "start_period_ms",
    "start_interval": "start_interval_ms",
}


def healthcheck(spec: ServiceSpec, value: Mapping[str, Any]) -> None:
    """A text is run by the container's shell, a list begins with CMD, CMD-SHELL or NONE."""
    if truth(value.get("disable") or False):
        check_of(spec).disabled = True  # what an earlier file says of the test has no effect
        return
    test = value.get("test")
    if test is not None:
        ask(spec, test=["CMD-SHELL", test] if isinstance(test, str) else [scalar(word) for word in test])
    _numbers(spec, value)


def extension(spec: ServiceSpec, value: Any) -> None:
    """`http: ":80/health"` or `tcp: 80`, with the times and retries of `healthcheck`.

    Raises:
        InvalidInput: an unknown key, or not one of http and tcp.
    """
    if not isinstance(value, Mapping) or len({"http", "tcp"} & set(value)) != 1:
        raise InvalidInput('needs one of http and tcp, like {http: ":80/health"}')
    if unknown := sorted(set(map(str, value)) - {"http", "tcp", "retries", *_TIMES}):
        raise InvalidInput(f"{unknown[0]!r} is not one of http, tcp, retries, {', '.join(_TIMES)}")
    if check_of(spec).disabled:
        raise InvalidInput("the healthcheck is switched off; leave out one of them")
    if check_of(spec).test:
        raise InvalidInput("there is a healthcheck with a test already; a check asks in one way")
    ask(spec, http=scalar(value.get("http", "")), tcp=scalar(value.get("tcp", "")))
    _numbers(spec, value)


def _numbers(spec: ServiceSpec, value: Mapping[str, Any]) -> None:
    check = check_of(spec)
    for key, field in _TIMES.items():
        if key in value:
            setattr(check, field, duration_ms(value[key]))
    if "retries" in value:
        check.retries = number(value["retries"])
