"""Property tests look at the same examples in each run, so that a run says something of the change that was made.

What a random run finds becomes an `@example`. `HYPOTHESIS_PROFILE=deep` looks elsewhere each time; so do `make fuzz`
and `python -m tests.unit.planner.model.model_run`. No example has a deadline: on a busy machine it would say nothing.
"""

import os

import pytest
from hypothesis import settings

from tests.old_runs import delete_old_runs, directory

settings.register_profile("same examples", deadline=None, derandomize=True)
settings.register_profile("deep", deadline=None)
settings.load_profile("deep" if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else "same examples")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Before pytest deletes what earlier runs have left."""
    if not hasattr(session.config, "workerinput"):
        delete_old_runs(directory())
