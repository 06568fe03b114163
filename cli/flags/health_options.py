"""Flags of health checks. `--health-http` and `--health-tcp` need no tool in the image; the others are Docker's."""

from collections.abc import Iterator, Mapping

from cli.flags.value_options import Apply, ValueOption
from shoal.api.v1.container_pb2 import Healthcheck
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import Fault
from shoal.spec_parsers.health_checks import healthcheck_of, set_probe
from shoal.spec_parsers.integers import parse_count
from shoal.spec_parsers.units import parse_duration_ms


def _none(spec: ServiceSpec, value: str) -> None:
    if value == "true":
        spec.task.container.healthcheck.CopyFrom(Healthcheck(disabled=True))


def _time(field: str) -> Apply:
    return lambda spec, value: setattr(healthcheck_of(spec), field, parse_duration_ms(value))


def _retries(spec: ServiceSpec, value: str) -> None:
    healthcheck_of(spec).retries = parse_count(value, 1000)


def health_conflicts(given: Mapping[str, object]) -> Iterator[Fault]:
    """A check that one command disables and defines; two kinds of probes in one command.

    Args:
        given: by click's names, None where a flag was not given.
    """
    flags = [scalar.flag for scalar in HEALTH_OPTIONS if given.get(scalar.flag[2:].replace("-", "_")) is not None]
    if given.get("no_healthcheck") and len(flags) > 1:
        yield Fault("", f"--no-healthcheck cannot be combined with {flags[1]}")
    asked = [flag for flag in flags if flag in ("--health-cmd", "--health-http", "--health-tcp")]
    if len(asked) > 1:
        yield Fault("", f"{asked[0]} cannot be combined with {asked[1]}")


HEALTH_OPTIONS = (
    ValueOption("--no-healthcheck", "", "Disable the health check, including the image's.", _none),
    ValueOption(
        "--health-cmd",
        "COMMAND",
        "Command to run to check health.",
        lambda spec, value: set_probe(spec, test=["CMD-SHELL", value]),
    ),
    ValueOption(
        "--health-http",
        "PORT[/PATH]",
        "HTTP GET to check health, such as :80/health (healthy: 200 to 399).",
        lambda spec, value: set_probe(spec, http=value),
    ),
    ValueOption(
        "--health-tcp",
        "PORT",
        "TCP port to connect to, to check health.",
        lambda spec, value: set_probe(spec, tcp=value),
    ),
    ValueOption("--health-interval", "TIME", "Time between running the check (default 30s).", _time("interval_ms")),
    ValueOption(
        "--health-timeout", "TIME", "Maximum time to allow one check to run (default 30s).", _time("timeout_ms")
    ),
    ValueOption("--health-retries", "NUMBER", "Consecutive failures needed to report unhealthy (default 3).", _retries),
    ValueOption(
        "--health-start-period",
        "TIME",
        "Start period during which failures do not count.",
        _time("start_period_ms"),
    ),
    ValueOption(
        "--health-start-interval",
        "TIME",
        "Time between checks during the start period (default 5s).",
        _time("start_interval_ms"),
    ),
)
