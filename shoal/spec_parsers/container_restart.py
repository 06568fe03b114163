"""Parse restart policies of containers, as `docker run --restart` has them; those of services are `update_policies`."""

from shoal.api.v1.standalone_pb2 import ContainerRestart, Reschedule
from shoal.errors import InvalidInput
from shoal.spec_parsers.choices import parse_choice
from shoal.spec_parsers.integers import parse_count

CONDITIONS = {
    "no": ContainerRestart.NO,
    "on-failure": ContainerRestart.ON_FAILURE,
    "always": ContainerRestart.ALWAYS,
    "unless-stopped": ContainerRestart.UNLESS_STOPPED,
}
RESCHEDULES = {"stay": Reschedule.STAY, "on-node-failure": Reschedule.ON_NODE_FAILURE}


def parse_restart(text: str) -> ContainerRestart:
    """A policy in "no", "on-failure[:N]", "always", "unless-stopped"; empty means no.

    Raises:
        InvalidInput: it is none of these, or has a number where none is possible.
    """
    name, sign, number = text.partition(":")
    condition = ContainerRestart.Condition.ValueType(parse_choice(name or "no", CONDITIONS))
    if sign and condition != ContainerRestart.ON_FAILURE:
        raise InvalidInput(f"{text!r}: a maximum number of restarts is possible with on-failure only")
    return ContainerRestart(condition=condition, max_attempts=parse_count(number) if sign else 0)


def parse_reschedule(text: str) -> Reschedule.ValueType:
    """What happens when the node is lost: "stay" or "on-node-failure". Raises InvalidInput."""
    return Reschedule.ValueType(parse_choice(text, RESCHEDULES))
