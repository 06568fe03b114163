"""Signals as users and images name them."""

import signal

import pytest

from shoal.signal_names import signal_number


@pytest.mark.parametrize(
    ("name", "number"),
    [
        *[(name, 15) for name in ("SIGTERM", "TERM", "sigterm", "term", "15", "015")],
        *[("9", 9), ("64", 64), ("SIGRTMIN", 34), ("RTMIN+0", 34), ("SIGRTMIN+3", 37), ("rtmin+30", 64)],
        *[("SIGRTMAX", 64), ("SIGRTMAX-0", 64), ("RTMAX-14", 50), ("SIGRTMAX-30", 34), ("SIGIOT", 6), ("SIGPOLL", 29)],
    ],
)
def test_a_signal_has_its_number(name: str, number: int) -> None:
    assert signal_number(name) == number


def test_every_name_that_the_system_has() -> None:
    assert all(signal_number(each.name) == each for each in signal.Signals)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "SIG",
        "SIGFOO",
        "0",
        "65",
        "99999999999",
        "-9",
        "9.0",
        "٩",
        "SIGRTMIN+31",
        "SIGRTMAX-31",
        "RTMIN-1",
        "RTMAX+1",
        "TERM ",
        "SIG15",
    ],
)
def test_what_is_none_has_none(name: str) -> None:
    assert signal_number(name) is None
