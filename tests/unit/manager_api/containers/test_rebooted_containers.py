"""What starts again after a reboot of its node, when a user had stopped it."""

import asyncio

import pytest

from manager.containers.node_calls.container_processes import ContainerProcesses
from manager.store.tables import View
from shoal.api.v1.engine_pb2 import KillContainerRequest
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.api.v1.standalone_pb2 import Container, ContainerRestart
from tests.unit.manager_api.containers.container_rig import ContainerRig, with_rig
from tests.unit.manager_api.control_rig import ADMIN

POLICIES = (ContainerRestart.NO, ContainerRestart.ON_FAILURE, ContainerRestart.ALWAYS, ContainerRestart.UNLESS_STOPPED)


def state(view: View, name: str) -> tuple[Container.Desired.ValueType, int, bool]:
    container = view.container_named(name)
    assert container is not None
    return container.desired, container.run, container.held


async def reboot(rig: ContainerRig, node: str, boot_id: str) -> None:
    await rig.add_node(node, NodeStatus.DOWN)
    await rig.add_node(node, NodeStatus.READY, boot_id)
    await asyncio.sleep(0.2)


def restart(policy: ContainerRestart.Condition.ValueType) -> ContainerRestart:
    return ContainerRestart(condition=policy)


def test_always_alone_starts_again_and_once_a_boot() -> None:
    async def play(rig: ContainerRig) -> None:
        for policy in POLICIES:
            await rig.run(f"c{policy}", restart=restart(policy))
            await rig.stop(f"c{policy}")
        await rig.add_node("h1", NodeStatus.DOWN)
        await rig.add_node("h1")  # the agent was restarted, or away: the boot is the same
        await asyncio.sleep(0.2)
        assert {state(rig.store.tables, f"c{policy}")[1] for policy in POLICIES} == {1}
        await reboot(rig, "h1", "boot-2")
        always = f"c{ContainerRestart.ALWAYS}"
        await rig.until(lambda: state(rig.store.tables, always) == (Container.RUNNING, 2, False))
        assert {
            state(rig.store.tables, f"c{policy}")[:2] for policy in POLICIES if policy != ContainerRestart.ALWAYS
        } == {(Container.STOPPED, 1)}
        await rig.stop(always)
        await reboot(rig, "h1", "boot-2")
        assert state(rig.store.tables, always) == (Container.STOPPED, 2, True)
        await reboot(rig, "h1", "boot-3")
        await rig.until(lambda: state(rig.store.tables, always) == (Container.RUNNING, 3, False))

    with_rig(play, nodes=1)


@pytest.mark.parametrize("boot_id", ["", "boot-1"])
def test_a_node_that_names_no_new_boot_starts_nothing(boot_id: str) -> None:
    async def play(rig: ContainerRig) -> None:
        await rig.run("c", restart=restart(ContainerRestart.ALWAYS))
        await rig.stop("c")
        await reboot(rig, "h1", boot_id)
        assert state(rig.store.tables, "c") == (Container.STOPPED, 1, True)

    with_rig(play, nodes=1)


class Agents:
    """Ends what gets a signal."""

    def __init__(self, rig: ContainerRig) -> None:
        self._rig = rig

    async def kill(self, agent: object, request: KillContainerRequest) -> None:
        del agent
        container = self._rig.store.tables.containers[request.container]
        self._rig.exit_codes[container.name] = 137

    def __getattr__(self, name: str) -> object:
        raise AssertionError(name)


def test_a_killed_one_starts_too_and_what_was_never_started_does_not() -> None:
    async def play(rig: ContainerRig) -> None:
        always = restart(ContainerRestart.ALWAYS)
        await rig.run("c", restart=always)
        await rig.create("never", restart=always)
        agents = Agents(rig)
        processes = ContainerProcesses(store=rig.store, agents=agents, streams=agents, now_ms=rig.clock)  # type: ignore[arg-type]  # one call alone
        await processes.kill(KillContainerRequest(container="c"), ADMIN)
        await rig.store.commit([])
        await rig.add_node("h1")  # wakes the agents
        identifier = rig.store.tables.container_named("c").meta.id  # type: ignore[union-attr]  # it is there
        await rig.until(lambda: rig.store.tables.service_status[identifier].finished_run == 1)
        rig.exit_codes.clear()
        await reboot(rig, "h1", "boot-2")
        await rig.until(lambda: state(rig.store.tables, "c") == (Container.RUNNING, 2, False))
        assert state(rig.store.tables, "never")[:2] == (Container.CREATED, 0)

    with_rig(play, nodes=1)
