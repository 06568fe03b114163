"""Where a task's container runs: on the node's own network, without any, or with resolvers of its own."""

from pathlib import Path

import pytest

from agent.worker.worker import Worker
from shoal.api.v1.service_pb2 import NetworkAttachment
from shoal.api.v1.task_pb2 import TaskState
from tests.fakes.virtual_time import run_virtual
from tests.unit.agent_core.worker_rig import Machine, assign, revision, task


@pytest.mark.parametrize(("mode", "namespace"), [("host", -1), ("none", None)])
def test_no_namespace_is_made_for_host_and_none(tmp_path: Path, mode: str, namespace: int | None) -> None:
    machine = Machine(tmp_path)
    one, spec = task("t1"), revision()
    del one.addresses[:]
    spec.spec.task.networks.append(NetworkAttachment(network=mode))
    spec.spec.task.container.dns.search.append("example.org")

    async def play(worker: Worker) -> None:
        worker.receive(assign(one, revisions=(spec,)))
        await machine.until("t1", TaskState.RUNNING)
        request = machine.runtime.requests["t1"]
        assert request.netns_fd == namespace
        assert request.etc_files["/etc/resolv.conf"] == b"nameserver 192.0.2.53\nsearch example.org\n"
        assert not machine.networks.attached
        one.desired_state = TaskState.REMOVE
        worker.receive(assign(one, revisions=(spec,)))
        await machine.until("t1", TaskState.SHUTDOWN)

    async def run() -> None:
        async with machine.agent() as worker:
            await play(worker)

    run_virtual(run())


def test_the_nodes_resolver_asks_the_tasks_own_ones(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    spec = revision()
    spec.spec.task.container.dns.nameservers.extend(["192.0.2.1", "fd00::53"])

    async def run() -> None:
        async with machine.agent() as worker:
            worker.receive(assign(task("t1"), revisions=(spec,)))
            await machine.until("t1", TaskState.RUNNING)
            assert machine.networks.resolvers["t1"] == ["192.0.2.1", "fd00::53"]
            resolv_conf = machine.runtime.requests["t1"].etc_files["/etc/resolv.conf"]
            assert resolv_conf == b"nameserver 10.255.0.1\noptions ndots:0\n"

    run_virtual(run())
