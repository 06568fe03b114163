"""Flags of health checks. `--health-http` and `--health-tcp` need no tool in the image; the others are Docker's."""

from collections.abc import Iterator, Mapping

from cli.flags.numbers import count
from cli.flags.scalars import Apply, Scalar
from cli.render.units import parse_duration_ms
from shoal.api.v1.container_pb2 import Healthcheck, HttpProbe, TcpProbe
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import Fault, InvalidInput


def check_of(spec: ServiceSpec) -> Healthcheck:
    """The service's check, to be changed."""
    return spec.task.container.healthcheck


def parse_port(text: str) -> int:
    """The port in "80" or ":80".

    Raises:
        InvalidInput: it is none.
    """
    number = text.removeprefix(":")
    if not (number.isascii() and number.isdigit() and 1 <= int(number[:6]) <= 65535):
        raise InvalidInput(f"{text!r} is not a port from 1 to 65535")
    return int(number)


def parse_http(text: str) -> HttpProbe:
    """What to ask in ":80/health?deep=1", "80", or "http://localhost:80/health".

    Raises:
        InvalidInput: there is no port.
    """
    rest = text.removeprefix("http://").removeprefix("localhost").removeprefix("127.0.0.1")
    port, slash, path = rest.partition("/")
    return HttpProbe(port=parse_port(port), path=f"/{path}" if slash else "")


def ask(spec: ServiceSpec, *, test: list[str] | None = None, http: str = "", tcp: str = "") -> None:
    """Ask in this way, in place of any other."""
    check = check_of(spec)
    for field in ("test", "http", "tcp", "disabled"):
        check.ClearField(field)
    if test:
        check.test.extend(test)
    elif http:
        check.http.CopyFrom(parse_http(http))
    elif tcp:
        check.tcp.CopyFrom(TcpProbe(port=parse_port(tcp)))


def _none(spec: ServiceSpec, value: str) -> None:
    if value == "true":
        spec.task.container.healthcheck.CopyFrom(Healthcheck(disabled=True))


def _time(field: str) -> Apply:
    return lambda spec, value: setattr(check_of(spec), field, parse_duration_ms(value))


def _retries(spec: ServiceSpec, value: str) -> None:
    check_of(spec).retries = count("--health-retries", value, 1000)


def contradictions(given: Mapping[str, object]) -> Iterator[Fault]:
    """A check that is switched off and described in one command; two ways to ask in one command.

    Args:
        given: by click's names, None where a flag was not given.
    """
    flags = [scalar.flag for scalar in HEALTH_SCALARS if given.get(scalar.flag[2:].replace("-", "_")) is not None]
    if given.get("no_healthcheck") and len(flags) > 1:
        yield Fault("", f"--no-healthcheck conflicts with {flags[1]}; leave one of them out")
    asked = [flag for flag in flags if flag in ("--health-cmd", "--health-http", "--health-tcp")]
    if len(asked) > 1:
        yield Fault("", f"{asked[0]} conflicts with {asked[1]}: a check asks in one way; leave one of them out")


HEALTH_SCALARS = (
    Scalar("--no-healthcheck", "", "No health check, not even the image's.", _none),
    Scalar(
        "--health-cmd",
        "COMMAND",
        "Healthy while this ends with 0 in the container's shell.",
        lambda spec, value: ask(spec, test=["CMD-SHELL", value]),
    ),
    Scalar(
        "--health-http",
        "PORT[/PATH]",
        "Healthy while a GET gives 200 to 399, like :80/health.",
        lambda spec, value: ask(spec, http=value),
    ),
    Scalar("--health-tcp", "PORT", "Healthy while it accepts connections.", lambda spec, value: ask(spec, tcp=value)),
    Scalar("--health-interval", "TIME", "Time between two checks (30s).", _time("interval_ms")),
    Scalar("--health-timeout", "TIME", "Time that a check may take (30s).", _time("timeout_ms")),
    Scalar("--health-retries", "NUMBER", "Failures in a row that make it unhealthy (3).", _retries),
    Scalar(
        "--health-start-period",
        "TIME",
        "Time after the start in which failures do not count.",
        _time("start_period_ms"),
    ),
    Scalar(
        "--health-start-interval",
        "TIME",
        "Most time between checks until the first success (5s).",
        _time("start_interval_ms"),
    ),
)
