"""Orders of managers for a container whose root file system outlives its runs, and agents that carry them out."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from agent.worker.worker import Worker
from shoal.api.v1.dispatcher_pb2 import Assignments
from shoal.api.v1.service_pb2 import NetworkAttachment, ServiceRevision
from shoal.api.v1.task_pb2 import Task, TaskState
from tests.fakes.virtual_time import run_virtual
from tests.unit.agent_core.worker_rig import Machine, assign, revision, task

S = TaskState
BOX = "container-box"
DIGEST = "sha256:" + "1" * 64
EPOCH = "epoch-1"


def machine_with_image(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.images.digests["hello:1"] = DIGEST
    return made


def scenario(machine: Machine, *plays: Callable[[Worker], Awaitable[None]]) -> None:
    """Each play in an agent's process of its own, on the same host."""

    async def run() -> None:
        for play in plays:
            async with machine.agent() as worker:
                await play(worker)

    run_virtual(run())


def run_of(
    task_id: str, *, desired: TaskState.ValueType = S.RUNNING, container: str = BOX, auto_remove: bool = False
) -> Task:
    made = task(task_id, desired=desired, addresses=() if desired == S.READY else ("10.0.0.7",))
    made.container_id, made.auto_remove = container, auto_remove
    return made


def order(*tasks: Task, containers: tuple[str, ...] = (BOX,)) -> Assignments:
    """A snapshot."""
    message = assign(*tasks)
    message.containers.extend(containers)
    message.lists_containers, message.epoch = True, EPOCH
    return message


async def settle() -> None:
    await asyncio.sleep(30)


def networked(number: int, *addresses: str, mode: str = "") -> tuple[Task, ServiceRevision]:
    made, template = run_of("r1"), revision()
    del made.addresses[:]
    for place, address in enumerate(addresses):
        made.addresses.add(network_id=f"net{place}", address=address)
    made.revision = template.number = number
    if mode:
        template.spec.task.networks.append(NetworkAttachment(network=mode))
    return made, template
