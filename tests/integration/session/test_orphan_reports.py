"""What nodes report of containers that managers do not know, over a real session."""

import asyncio
from pathlib import Path

from shoal.api.v1.dispatcher_pb2 import OrphanReport
from shoal.api.v1.node_pb2 import NetworkCondition, OrphanedContainer
from shoal.ids import new_id
from tests.integration.session.session_rig import ManagerProcess, SessionRig, one_manager
from tests.polling import until


def reported(manager: ManagerProcess) -> tuple[list[str], int]:
    """Ids in the node's record, and how many there are."""
    status = manager.store.tables.node_status.get("n1")
    return ([each.id for each in status.orphaned_containers], status.orphaned_count) if status is not None else ([], 0)


def test_they_are_in_the_nodes_record_until_there_are_none(tmp_path: Path) -> None:
    async def run() -> None:
        rig, identifier = SessionRig(tmp_path), new_id()
        orphan = OrphanedContainer(id=identifier, name="db\x1b[2J", image="busybox:1", created_at_ms=-5)
        async with one_manager(rig, "n1") as manager:
            async with rig.agent("n1", [manager.address]) as work:
                await until(lambda: True in work.touch)
                work.orphans.put_nowait(OrphanReport(containers=[orphan, OrphanedContainer(id="../x")], count=300))
                await until(lambda: reported(manager) == ([identifier], 300))
                (kept,) = manager.store.tables.node_status["n1"].orphaned_containers
                assert kept.name.isprintable() and kept.created_at_ms == 0
            async with rig.agent("n1", [manager.address]) as work:
                await until(lambda: True in work.touch)
                assert reported(manager)[1] == 300, "a new session forgets nothing"
                assert manager.store.tables.node_status["n1"].network_condition == NetworkCondition()
                work.orphans.put_nowait(OrphanReport())
                await until(lambda: reported(manager) == ([], 0))

    asyncio.run(run())
