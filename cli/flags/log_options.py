"""`--log-opt`: bounds of log files."""

from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput
from shoal.spec_parsers.integers import parse_count
from shoal.spec_parsers.units import parse_bytes

OPTIONS = {"max-size": "max_bytes", "max-file": "max_files"}


def add_log_option(spec: ServiceSpec, text: str) -> None:
    """ "max-size=10M" or "max-file=3"."""
    name, sign, value = text.partition("=")
    if not sign or name not in OPTIONS:
        raise InvalidInput(f"{text!r} must be in the form NAME=VALUE; allowed names are {', '.join(OPTIONS)}")
    if name == "max-size":
        spec.task.log.max_bytes = parse_bytes(value)
    else:
        spec.task.log.max_files = parse_count(value, 1000, key="max-file")


def remove_log_option(spec: ServiceSpec, name: str) -> None:
    """Return to the default."""
    if name not in OPTIONS:
        raise InvalidInput(f"{name!r} must be one of {', '.join(OPTIONS)}")
    setattr(spec.task.log, OPTIONS[name], 0)
