"""Parse log drivers. Logs are stored on the node and rotated there; `shoal service logs` reads them."""

from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput

NONE = "none"
DRIVERS = ("json-file", "local", NONE)
"""Docker's drivers that store logs on the node, or store none."""
UNSUPPORTED_DRIVERS = ("awslogs", "etwlogs", "fluentd", "gcplogs", "gelf", "journald", "logentries", "splunk", "syslog")
"""Docker's drivers that send logs elsewhere."""


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
