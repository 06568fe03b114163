"""What is not there yet when the agent starts: tried again, told once for each reason."""

import asyncio
import logging
from itertools import repeat

import pytest

from agent.retry import until_success
from shoal.errors import InvalidInput, ShoalError, Timeout, Unauthenticated, Unavailable
from tests.fakes.virtual_time import run_virtual


class Attempts:
    """Fails with each of these, then gives 7."""

    def __init__(self, *errors: ShoalError) -> None:
        self.errors = list(errors)
        self.reported: list[str] = []

    async def __call__(self) -> int:
        if self.errors:
            raise self.errors.pop(0)
        return 7


def test_it_is_tried_until_it_works_and_each_reason_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    attempts = Attempts(Unavailable("refused"), Unavailable("refused"), Timeout("silent"), Unavailable("refused"))

    async def play() -> None:
        begin = asyncio.get_running_loop().time()
        assert await until_success(attempts, delays=repeat(2.0), on_failure=attempts.reported.append) == 7
        assert asyncio.get_running_loop().time() - begin == 8

    run_virtual(play())
    assert attempts.reported == ["refused", "silent", "refused"]
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 3


@pytest.mark.parametrize("error", [Unauthenticated("wrong token"), InvalidInput("no address")])
def test_what_does_not_mend_itself_is_raised(error: ShoalError) -> None:
    with pytest.raises(type(error)):
        run_virtual(until_success(Attempts(error), delays=repeat(2.0), on_failure=lambda _: None))
