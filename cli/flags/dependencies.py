"""`--depends-on`: services that one waits for."""

from cli.flags.entries import drop
from cli.flags.scalars import choice
from shoal.api.v1.service_pb2 import Dependency, ServiceSpec
from shoal.errors import InvalidInput

CONDITIONS = {"started": Dependency.STARTED, "healthy": Dependency.HEALTHY, "completed": Dependency.COMPLETED}


def add_dependency(spec: ServiceSpec, text: str) -> None:
    """ "db", or "db=healthy"; replaces what was said of the same service."""
    name, sign, condition = text.partition("=")
    if not name:
        raise InvalidInput(f"--depends-on: {text!r} names no service")
    number = choice("--depends-on", condition, CONDITIONS) if sign else Dependency.STARTED
    drop(spec.depends_on, lambda each: each.service == name)
    spec.depends_on.append(Dependency(service=name, condition=Dependency.Condition.ValueType(number)))


def remove_dependency(spec: ServiceSpec, text: str) -> None:
    """Wait for it no longer."""
    if not drop(spec.depends_on, lambda each: each.service == text):
        raise InvalidInput(f"--depends-on-rm: it does not wait for {text!r}")
