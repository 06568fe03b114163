"""What becomes of a node and of its tasks in every partition: a table of decisions, in virtual time.

A task with `stop_on_disconnect` stops if, and only if, its node has no way to a manager that belongs to a majority; the
node is given up only then, and only by managers that do.
"""

import asyncio
import itertools
from pathlib import Path

import pytest

from tests.fakes.virtual_time import run_virtual
from tests.unit.dispatcher.partitioned_cluster import MANAGERS, NODE_ID, PartitionedCluster, partitioned_cluster

ALLOWED_SECONDS = 4.0
"""Of the task with `stop_on_disconnect`; more than a change of the manager takes."""
PARTITION_SECONDS = 30.0
RETURN_SECONDS = 15.0
BUSY_SECONDS = 2
"""That a node may take to find a manager again."""

NODE_TO_ALL = tuple(f"{NODE_ID}>{each}" for each in MANAGERS)
ALL_TO_NODE = tuple(f"{each}>{NODE_ID}" for each in MANAGERS)
AMONG_MANAGERS = tuple("-".join(each) for each in itertools.combinations(MANAGERS, 2))


async def outcome(cluster: PartitionedCluster, ways: tuple[str, ...]) -> tuple[bool, bool, str]:
    """Whether the node has a session, whether its task has stopped, and its state, after a partition.

    Args:
        ways: with HELD for the manager that has the node's session, OTHER and THIRD for the others.
    """
    held = cluster.node.connected_to
    other, third = (each for each in MANAGERS if each != held)
    for way in ways:
        cluster.links.block(way.replace("HELD", held).replace("OTHER", other).replace("THIRD", third))
    await asyncio.sleep(PARTITION_SECONDS)
    return bool(cluster.node.connected_to), cluster.node.has_stopped, cluster.state()


@pytest.mark.parametrize(
    ("ways", "expected"),
    [
        pytest.param((), (True, False, "READY"), id="none"),
        pytest.param((f"{NODE_ID}-HELD",), (True, False, "READY"), id="node from its manager"),
        pytest.param((f"{NODE_ID}>HELD",), (True, False, "READY"), id="node to its manager"),
        pytest.param((f"HELD>{NODE_ID}",), (True, False, "READY"), id="manager to its node"),
        pytest.param((*NODE_TO_ALL, *ALL_TO_NODE), (False, True, "DOWN"), id="node from all managers"),
        pytest.param(NODE_TO_ALL, (False, True, "DOWN"), id="node to all managers"),
        pytest.param(ALL_TO_NODE, (False, True, "DOWN"), id="all managers to the node"),
        pytest.param(("HELD-OTHER", "HELD-THIRD"), (True, False, "READY"), id="its manager from the others"),
        pytest.param(("HELD>OTHER", "HELD>THIRD"), (True, False, "READY"), id="its manager to the others"),
        pytest.param(("OTHER>HELD", "THIRD>HELD"), (True, False, "READY"), id="the others to its manager"),
        pytest.param(("HELD-OTHER",), (True, False, "READY"), id="two managers from each other"),
        pytest.param(("HELD-etcd",), (True, False, "READY"), id="its manager from etcd"),
        pytest.param(("OTHER-etcd", "THIRD-etcd"), (True, False, "READY"), id="the other managers from etcd"),
        pytest.param(
            ("HELD-OTHER", "HELD-THIRD", f"{NODE_ID}-OTHER", f"{NODE_ID}-THIRD"),
            (False, True, "DOWN"),
            id="node and its manager from the others",
        ),
        pytest.param(
            ("HELD-etcd", f"{NODE_ID}-OTHER", f"{NODE_ID}>THIRD"), (False, True, "DOWN"), id="no way to a majority"
        ),
        pytest.param(AMONG_MANAGERS, (False, True, "READY"), id="all managers from one another"),
        pytest.param(tuple(f"{each}-etcd" for each in MANAGERS), (False, True, "READY"), id="all managers from etcd"),
    ],
)
def test_partition(tmp_path: Path, ways: tuple[str, ...], expected: tuple[bool, bool, str]) -> None:
    async def scenario() -> None:
        async with partitioned_cluster(tmp_path, ALLOWED_SECONDS) as cluster:
            assert await outcome(cluster, ways) == expected
            cluster.links.blocked.clear()
            await asyncio.sleep(RETURN_SECONDS)
            assert cluster.node.connected_to and cluster.state() == "READY" and cluster.leader
            assert cluster.node.has_stopped == expected[1], "nothing more stops when all is well again"

    run_virtual(scenario())


def test_after_a_loss_of_the_majority_nodes_have_the_usual_time_to_return(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with partitioned_cluster(tmp_path, 1000.0) as cluster:
            cluster.links.block(*AMONG_MANAGERS, *NODE_TO_ALL)
            await asyncio.sleep(PARTITION_SECONDS)
            cluster.links.blocked = set(NODE_TO_ALL)
            states = set()
            for tenth in range(int(RETURN_SECONDS * 10)):
                await asyncio.sleep(0.1)
                states.add(cluster.state())
                if tenth == 10 * BUSY_SECONDS:
                    cluster.links.blocked.clear()
            assert states == {"READY"} and cluster.node.connected_to

    run_virtual(scenario())
