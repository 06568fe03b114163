"""`--log-driver` and `--log-opt`: logs are kept on the node and rotated there; `shoal service logs` reads them."""

from cli.flags.numbers import count
from cli.render.units import parse_bytes
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput

NONE = "none"
DRIVERS = ("json-file", "local", NONE)
"""Docker's names for what is done here."""
OF_DOCKER = ("awslogs", "etwlogs", "fluentd", "gcplogs", "gelf", "journald", "logentries", "splunk", "syslog")
"""Docker's drivers that send logs elsewhere."""
OPTIONS = {"max-size": "max_bytes", "max-file": "max_files"}


def set_log_driver(spec: ServiceSpec, name: str) -> None:
    """Whether a log is kept on the node. Refuses drivers that send logs elsewhere, by name.

    Raises:
        InvalidInput: it is one of those, or none at all.
    """
    if name in OF_DOCKER:
        raise InvalidInput(
            f"log driver {name!r} is not supported: logs are kept on the node, and `shoal service logs` reads them; "
            "use json-file or local, or none for no log"
        )
    if name not in DRIVERS:
        raise InvalidInput(f"unknown log driver {name[:80]!r}; use one of {', '.join(DRIVERS)}")
    spec.task.log.disabled = name == NONE


def add_log_option(spec: ServiceSpec, text: str) -> None:
    """ "max-size=10M" or "max-file=3"."""
    name, sign, value = text.partition("=")
    if not sign or name not in OPTIONS:
        raise InvalidInput(f"--log-opt: {text!r} is not of the form name=value with a name of {', '.join(OPTIONS)}")
    if name == "max-size":
        spec.task.log.max_bytes = parse_bytes(value)
    else:
        spec.task.log.max_files = count("--log-opt: max-file", value, 1000)


def remove_log_option(spec: ServiceSpec, name: str) -> None:
    """Return to the default."""
    if name not in OPTIONS:
        raise InvalidInput(f"--log-opt-rm: {name!r} is not one of {', '.join(OPTIONS)}")
    setattr(spec.task.log, OPTIONS[name], 0)
