"""Submit a spec: local errors and the manager's are reported together, and nothing is created if there are any."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from cli.render.error_lines import warn
from shoal.errors import Fault, InvalidInput, ShoalError, Timeout, Unauthenticated, Unavailable

A = TypeVar("A")


def submit(
    call: Callable[[], A], *, faults: Sequence[Fault], translate: Callable[[Sequence[Fault]], Sequence[Fault]]
) -> A:
    """The manager's answer.

    Args:
        call: calls the manager; when there are faults already, only to check what is right so far (`dry_run`).
        faults: what was found before.
        translate: the manager's faults in the user's words.
    Raises:
        InvalidInput: with the faults of both.
    """
    try:
        answer = call()
    except InvalidInput as error:
        raise InvalidInput((*faults, *translate(error.faults))) from error
    except (Timeout, Unauthenticated, Unavailable) as error:
        if not faults:
            raise
        warn(f"the manager did not validate the rest: {error}")
    except ShoalError as error:
        raise InvalidInput((*faults, Fault("", str(error)))) if faults else error from error
    if faults:
        raise InvalidInput(faults)
    return answer
