"""A cluster of two hosts whose daemons have fault points switched on."""

import os
import zlib
from collections.abc import Iterator

import pytest

from cli.playground import virtual_network
from cli.playground.layout import Layout
from cli.playground.lifecycle import Playground
from shoal.contexts.context_store import ContextStore
from tests.integration.cluster.conftest import IMAGES, no_subreaper
from tests.integration.cluster.harness import RUN_ROOT, Cluster
from tests.integration.cluster.subnets import free_subnet
from tests.integration.faults.agent_runs import MANAGER_RUNS, RUNS
from tests.integration.faults.fault_rig import FaultRig
from tests.integration.faults.test_image_points import (
    test_the_leader_completes_removals_of_managers_that_were_killed,
)
from tests.integration.faults.test_manager_points import (
    CHANGES,
    test_a_manager_joins_while_the_leader_dies_at_each_step,
)

__all__ = ["no_subreaper"]
PART = 4
LONGEST = frozenset(
    {
        test_a_manager_joins_while_the_leader_dies_at_each_step.__name__,
        test_the_leader_completes_removals_of_managers_that_were_killed.__name__,
    }
)


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultRig]:
    """The cluster, with a service on h1 that no fault may touch."""
    root = tmp_path_factory.mktemp("faults")
    layout = Layout(
        name=f"f{os.getpid() % 1_000_000}",
        hosts=2,
        subnet=free_subnet(),
        state_root=root / "state",
        run_root=RUN_ROOT,
    )
    playground = Playground(
        layout,
        contexts=ContextStore(root / "config"),
        report=print,
        # An agent that takes long to start again on a busy machine is not a lost node, nor is one that managers block
        # for 30 s since it came back too often.
        manager_options=("--heartbeat-seconds", "30"),
    )
    playground.up()
    try:
        rig = FaultRig(Cluster(playground, root / "config"), IMAGES)
        try:
            rig.set_up()
            yield rig
        finally:
            rig.close()
    finally:
        playground.down()
    assert not virtual_network.playground_namespaces(layout)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make test-faults` passes it."""
    parser.addoption("--all-faults", action="store_true", help="run every fault point, and what waits for long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Only `make test-faults` has the leader die at each step of a join and more, which takes a minute, and others."""
    if not config.getoption("--all-faults", default=False):
        left = [item for item in items if item.name in LONGEST]
        items[:] = [item for item in items if item.name not in LONGEST]
        config.hook.pytest_deselected(items=left)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What was left out is told, as skipped tests are."""
    if not config.getoption("--all-faults", default=False):
        terminalreporter.write_line(
            f"fault points: one of {PART} of the agent's {len(RUNS)} and some of the manager's were chosen, and "
            f"{' and '.join(sorted(LONGEST))} were left out; `make test-faults` runs all"
        )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One point out of `PART`, by the name's checksum, and nothing that waits for a minute; or everything."""
    every = metafunc.config.getoption("--all-faults", default=False)
    if "point_of_agent" in metafunc.fixturenames:
        chosen = [point for point in sorted(RUNS) if every or zlib.crc32(point.encode()) % PART == 0]
        metafunc.parametrize("point_of_agent", chosen)
    if "point_of_manager" in metafunc.fixturenames:
        chosen = [point for point in sorted(MANAGER_RUNS) if every or zlib.crc32(point.encode()) % PART == 0]
        metafunc.parametrize("point_of_manager", chosen)
    if "changes_of_manager" in metafunc.fixturenames:
        metafunc.parametrize("changes_of_manager", [CHANGES if every else CHANGES[:2]], ids=["changes"])
    if "mode_of_runtime" in metafunc.fixturenames:
        metafunc.parametrize("mode_of_runtime", ["fails", "hangs"] if every else ["fails"])
