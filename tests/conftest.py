"""Property tests look at the same examples in each run, so that a run says something of the change that was made.

What a random run finds becomes an `@example`. `make test-random` (`HYPOTHESIS_PROFILE=random`) looks elsewhere each
time and for longer; so do `make fuzz` and `python -m tests.unit.planner.model.model_run`. No example has a deadline:
on a busy machine it would say nothing.
"""

import os
import signal
from typing import Any

import pytest
from hypothesis import settings

from tests.old_runs import delete_old_runs, directory
from tests.work_units import WholeUnits

settings.register_profile("same examples", deadline=None, derandomize=True)
settings.register_profile("random", deadline=None, max_examples=2_000, print_blob=True)
settings.load_profile("random" if os.environ.get("HYPOTHESIS_PROFILE") == "random" else "same examples")


def pytest_configure() -> None:
    """Shells ignore signals for what they start in the background, as nohup does, and programs inherit that: those
    that tests end by Ctrl-C would go on."""
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGQUIT, signal.SIG_DFL),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> WholeUnits | None:
    """Runs with `--dist loadfile` have units of our own; others what pytest-xdist has."""
    return WholeUnits(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Before pytest deletes what earlier runs have left."""
    if not hasattr(session.config, "workerinput"):
        delete_old_runs(directory())
