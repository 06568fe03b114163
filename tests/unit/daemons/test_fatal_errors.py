"""A daemon that fails says why in one line, unless it is a bug."""

import pytest

from shoal.daemons.fatal_errors import FAILURE, fatal_errors, single_error
from shoal.errors import InvalidInput, ShoalError, Unavailable

TOKEN = "SHOAL-1-abcdefgh" + "2" * 20 + "-0123456789"


def test_an_error_for_the_user_is_one_line_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, fatal_errors("shoal-engine"):
        raise ExceptionGroup("parts", [InvalidInput(f"{TOKEN} is no token")])
    assert ended.value.code == FAILURE
    assert capsys.readouterr().err == "shoal-engine: SHOAL-1-abcdefgh… is no token\n"


def test_the_exit_code_may_depend_on_the_error() -> None:
    def code(error: ShoalError) -> int:
        return 4 if isinstance(error, Unavailable) else FAILURE

    with pytest.raises(SystemExit) as ended, fatal_errors("shoal-agent", code):
        raise Unavailable("no disk")
    assert ended.value.code == 4


@pytest.mark.parametrize("error", [ValueError("a bug"), ExceptionGroup("parts", [ValueError("a bug")])])
def test_a_bug_keeps_its_trace(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, fatal_errors("shoal-agent"):
        raise error
    assert raised.value is error


def test_only_a_single_error_of_our_own_is_for_the_user() -> None:
    one = Unavailable("no disk")
    assert single_error(one) is one
    assert single_error(ExceptionGroup("outer", [ExceptionGroup("inner", [one])])) is one
    assert single_error(ExceptionGroup("parts", [one, ValueError("a bug")])) is None
    assert single_error(ExceptionGroup("parts", [one, Unavailable("no network")])) is None
    assert single_error(ValueError("a bug")) is None
