"""Parse update and rollback policies, with Docker's names."""

from shoal.api.v1.service_pb2 import UpdateConfig
from shoal.errors import InvalidInput
from shoal.spec_parsers.integers import parse_count

ORDERS = {"stop-first": UpdateConfig.STOP_FIRST, "start-first": UpdateConfig.START_FIRST}
ACTIONS = {
    "rollback": UpdateConfig.ROLLBACK,
    "pause": UpdateConfig.PAUSE,
    "continue": UpdateConfig.CONTINUE,
}
ROLLBACK_ACTIONS = {name: number for name, number in ACTIONS.items() if name != "rollback"}


UNLIMITED_PARALLELISM = 1_000_000
"""As many tasks as a service may have: what 0 means in Docker's files and flags."""


def parse_parallelism(value: str) -> int:
    """Tasks at once; 0 is all of them.

    Raises:
        InvalidInput: it is no whole number.
    """
    return parse_count(value) or UNLIMITED_PARALLELISM


def parse_ratio(value: str) -> float:
    """A share from 0 to 1.

    Raises:
        InvalidInput: it is not.
    """
    try:
        found = float(value)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise InvalidInput(f"{value!r} must be a ratio from 0 to 1, such as 0.2")
    return found
