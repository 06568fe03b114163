"""What of a run goes to one worker as a whole.

Tests of a module stay together, for what they share is made once. So do all that use a cluster which a whole run
shares: two workers would make one each, and a worker that changes between two kinds would make each again.
"""

import re

from xdist.scheduler.loadscope import LoadScopeScheduling

_SHARED_CLUSTER = "tests/integration/cluster/"
_SHARED_ENGINES = "tests/integration/engine/"


def work_unit(test: str) -> str:
    """The unit of a test, by the test's id."""
    module, _, name = test.partition("::")
    if module.startswith(_SHARED_CLUSTER):
        return _SHARED_CLUSTER
    if module.startswith(_SHARED_ENGINES) and (hosts := re.search(r"one-host|three-hosts", name)):
        return f"{_SHARED_ENGINES} {hosts[0]}"
    return module


class WholeUnits(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Gives a worker that has nothing to do the next unit, in the order in which the tests were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return work_unit(nodeid)
