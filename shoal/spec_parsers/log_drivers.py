"""`--log-driver` and `--log-opt`: logs are kept on the node and rotated there; `shoal service logs` reads them."""

from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput
from shoal.spec_parsers.integers import parse_count
from shoal.spec_parsers.units import parse_bytes

NONE = "none"
DRIVERS = ("json-file", "local", NONE)
"""Docker's names for what is done here."""
UNSUPPORTED_DRIVERS = ("awslogs", "etwlogs", "fluentd", "gcplogs", "gelf", "journald", "logentries", "splunk", "syslog")
"""Docker's drivers that send logs elsewhere."""
OPTIONS = {"max-size": "max_bytes", "max-file": "max_files"}


def set_log_driver(spec: ServiceSpec, name: str) -> None:
    """Whether a log is kept on the node. Refuses drivers that send logs elsewhere, by name.

    Raises:
        InvalidInput: it is one of those, or none at all.
    """
    if name in UNSUPPORTED_DRIVERS:
        raise InvalidInput(
            f"log driver {name!r} is not supported: logs are stored on the node and read with `shoal service logs`; "
            "use json-file, local or none"
        )
    if name not in DRIVERS:
        raise InvalidInput(f"unknown log driver {name[:80]!r}; use one of {', '.join(DRIVERS)}")
    spec.task.log.disabled = name == NONE


def add_log_option(spec: ServiceSpec, text: str) -> None:
    """ "max-size=10M" or "max-file=3"."""
    name, sign, value = text.partition("=")
    if not sign or name not in OPTIONS:
        raise InvalidInput(
            f"--log-opt: {text!r} must be in the form NAME=VALUE; allowed names are {', '.join(OPTIONS)}"
        )
    if name == "max-size":
        spec.task.log.max_bytes = parse_bytes(value)
    else:
        spec.task.log.max_files = parse_count("--log-opt: max-file", value, 1000)


def remove_log_option(spec: ServiceSpec, name: str) -> None:
    """Return to the default."""
    if name not in OPTIONS:
        raise InvalidInput(f"--log-opt-rm: {name!r} must be one of {', '.join(OPTIONS)}")
    setattr(spec.task.log, OPTIONS[name], 0)
