"""Whatever a user's program sends: it gets an answer or an error of ours, and what is stored can be planned."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from google.protobuf.message import Message

from manager.planner.incremental_planner import IncrementalPlanner
from manager.store.transaction import MAX_BYTES
from shoal import ids
from shoal.api.v1 import control_pb2
from shoal.api.v1.file_pb2 import FileSpec
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.node_pb2 import NodeSpec
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import ShoalError
from shoal.rpc.caller import Caller
from tests.fakes.any_message import any_message, change_one
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api
from tests.unit.manager_api.stack_requests import stack_request

ENTIRE, CHANGED = 5, 80
"""How many requests of each kind are all made up, and how many are right but for one field."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def full_spec(name: str) -> ServiceSpec:
    """A valid spec with something in most of its parts, so that a changed field has company."""
    spec = spec_of(name)
    spec.task.networks.add(network="front")
    spec.task.restart.delay_ms = 10
    spec.task.limits.memory_bytes, spec.task.reservations.nano_cpus = 1 << 26, 1_000_000
    spec.task.placement.constraints.append("node.hostname != far")
    spec.task.placement.preferences.add(spread="node.labels.zone")
    spec.update.parallelism, spec.update.monitor_ms = 2, 100
    spec.labels["a"] = "b"
    return spec


def requests(version: int, seed: int = 0) -> Sequence[Message]:
    """One of each call that writes, at objects that are there."""
    targets = [control_pb2.ScaleServicesRequest.Target(service="web", replicas=3)]
    return (
        control_pb2.CreateServiceRequest(spec=full_spec(f"other-{seed}")),
        control_pb2.UpdateServiceRequest(service="web", version=version, spec=full_spec("web")),
        control_pb2.ScaleServicesRequest(targets=targets),
        control_pb2.RollbackServiceRequest(service="web"),
        control_pb2.ManageUpdateRequest(service="web"),
        stack_request("shop", services=[spec_of("db")], networks=[NetworkSpec(name="back")]),
        control_pb2.CreateNetworkRequest(spec=NetworkSpec(name=f"other-{seed}", subnet=f"10.9.{seed}.0/24")),
        control_pb2.UpdateNodeRequest(node="node1", version=version, spec=NodeSpec(labels={"zone": "a"})),
        control_pb2.CreateFileRequest(spec=FileSpec(name=f"other-{seed}"), content=b"x"),
        control_pb2.UpdateFileRequest(file="conf", content=b"y"),
    )


def call_of(api: Api, request: Message) -> Callable[[Any, Caller], Awaitable[object]]:
    calls: dict[str, Callable[[Any, Caller], Awaitable[object]]] = {
        "CreateServiceRequest": api.services.create,
        "UpdateServiceRequest": api.services.update,
        "ScaleServicesRequest": api.services.scale,
        "RollbackServiceRequest": api.services.rollback,
        "ManageUpdateRequest": api.updates.manage,
        "DeployStackRequest": api.stacks.deploy,
        "CreateNetworkRequest": api.networks.create,
        "UpdateNodeRequest": api.nodes.update,
        "CreateFileRequest": api.configs.create,
        "UpdateFileRequest": api.configs.update,
    }
    return calls[request.DESCRIPTOR.name]


@pytest.mark.parametrize("kind", range(len(requests(0))))
def test_any_request_is_answered_and_its_outcome_planned(kind: int) -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        await api.networks.create(control_pb2.CreateNetworkRequest(spec=NetworkSpec(name="front")), ADMIN)
        await api.configs.create(control_pb2.CreateFileRequest(spec=FileSpec(name="conf"), content=b"x"), ADMIN)
        made = await api.services.create(control_pb2.CreateServiceRequest(spec=full_spec("web")), ADMIN)
        agenda = IncrementalPlanner(api.store.tables)
        for seed in range(ENTIRE + CHANGED):
            present = api.store.tables.service_named("web")
            request = requests((present or made.service).meta.version, seed)[kind]
            call = call_of(api, request)
            if seed < ENTIRE:
                request = any_message(type(request), seed)
            else:
                change_one(request, seed)
            try:
                await call(request, ADMIN)
            except ShoalError as error:
                assert str(error)
            agenda.request_full_pass()
            outcome = agenda.plan(now_ms=now_ms(), new_id=ids.new_id)
            assert not outcome.quarantined, (request, outcome.quarantined)
        for records in (api.store.tables.services, api.store.tables.networks, api.store.tables.configs):
            assert all(record.ByteSize() < MAX_BYTES for record in records.values())

    with_api(scenario)
