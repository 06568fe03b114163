"""`--depends-on`: dependencies on other services."""

from shoal.api.v1.service_pb2 import Dependency, ServiceSpec
from shoal.errors import InvalidInput
from shoal.spec_parsers.choices import parse_choice
from shoal.spec_parsers.repeated_fields import remove_matching

CONDITIONS = {"started": Dependency.STARTED, "healthy": Dependency.HEALTHY, "completed": Dependency.COMPLETED}


def add_dependency(spec: ServiceSpec, text: str) -> None:
    """ "db", or "db=healthy"; replaces what was said of the same service."""
    name, sign, condition = text.partition("=")
    if not name:
        raise InvalidInput(f"{text!r} must be in the form SERVICE[=CONDITION]")
    number = parse_choice(condition, CONDITIONS, key="condition") if sign else Dependency.STARTED
    remove_matching(spec.depends_on, lambda each: each.service == name)
    spec.depends_on.append(Dependency(service=name, condition=Dependency.Condition.ValueType(number)))


def remove_dependency(spec: ServiceSpec, text: str) -> None:
    """Wait for it no longer."""
    if not remove_matching(spec.depends_on, lambda each: each.service == text):
        raise InvalidInput(f"the service does not depend on {text!r}")
