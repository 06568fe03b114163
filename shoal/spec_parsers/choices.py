"""Parse named choices and commands."""

from collections.abc import Mapping

from shoal.api.v1.service_pb2 import Endpoint, RestartPolicy
from shoal.errors import InvalidInput


def parse_choice(value: str, choices: Mapping[str, int], *, key: str = "") -> int:
    """The number of a named choice.

    Args:
        key: what the choice is of, where it is part of a longer value.
    Raises:
        InvalidInput: with the names of all choices.
    """
    if value not in choices:
        prefix = f"{key}: " if key else ""
        raise InvalidInput(f"{prefix}{value!r} must be one of {', '.join(choices)}")
    return choices[value]


def split_command(text: str) -> list[str]:
    """Words as a shell would split them.

    Raises:
        InvalidInput: a quotation mark is not closed.
    """
    import shlex  # here, since most commands split nothing

    try:
        return shlex.split(text)
    except ValueError as error:
        raise InvalidInput(f"{text!r} is not a valid command: {error}") from None


ENDPOINT_MODES = {"vip": Endpoint.VIP, "dnsrr": Endpoint.DNSRR}
RESTART_CONDITIONS = {"none": RestartPolicy.NONE, "on-failure": RestartPolicy.ON_FAILURE, "any": RestartPolicy.ANY}
