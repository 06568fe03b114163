"""Submitting: what is wrong is told together, found here or by the manager; nothing is made of a part."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from cli.render.failure import warn
from shoal.errors import Fault, InvalidInput, ShoalError, Timeout, Unauthenticated, Unavailable

A = TypeVar("A")


def submit(ask: Callable[[], A], *, faults: Sequence[Fault], judge: Callable[[Sequence[Fault]], Sequence[Fault]]) -> A:
    """The manager's answer.

    Args:
        ask: calls the manager; when there are faults already, only to check what is right so far (`dry_run`).
        faults: what was found before.
        judge: the manager's faults in the user's words.
    Raises:
        InvalidInput: with the faults of both.
    """
    try:
        answer = ask()
    except InvalidInput as error:
        raise InvalidInput((*faults, *judge(error.faults))) from error
    except (Timeout, Unauthenticated, Unavailable) as error:
        if not faults:
            raise
        warn(f"the manager was not asked about the rest: {error}")
    except ShoalError as error:
        raise InvalidInput((*faults, Fault("", str(error)))) if faults else error from error
    if faults:
        raise InvalidInput(faults)
    return answer
