"""A node in the wrong hands answers its managers: with bytes that are no message, for tasks that are not its own, and
with numbers that cannot be. Nothing of it ends what a manager does for others.

Bound: an error for the one call; one node's numbers count for its own tasks alone.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from grpc import aio

from manager.agents.agent_address import AgentAddress
from manager.agents.agent_channels import AgentChannels
from manager.agents.container_channels import ContainerChannels
from manager.agents.usage_reader import UsageReader
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1 import engine_pb2, streams_pb2
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeStatus
from shoal.api.v1.task_pb2 import Task
from shoal.errors import ShoalError, Unavailable
from shoal.identity.authority import Authority
from shoal.identity.roles import CertificateSubject, Role
from shoal.logs.log_lines import timestamp_bytes
from shoal.rpc.grpc_server import listen
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd

CLUSTER = "cluster"
NO_MESSAGE = b"\xff" * 16
SINGLE = ("Probe", "ReadUsage", "ReadVolumeSizes", "CallDriver", "ObserveTerm", "OfferVolume", "DropVolumeCopy")
STREAMS = ("ReadLogs", "FetchVolume")
SINGLE_OF_CONTAINERS = ("Pause", "Kill", "ListProcesses", "StatPath")
STREAMS_OF_CONTAINERS = ("ReadArchive", "ListDirectory", "ListChanges", "ExportContainer")

Calls = dict[str, Callable[[AgentChannels, AgentAddress], Awaitable[Any]]]


@asynccontextmanager
async def hostile_agent(*usages: bytes, logs: bytes = NO_MESSAGE) -> AsyncGenerator[tuple[AgentChannels, AgentAddress]]:
    """An agent with the certificate of node n1 whose answers are bytes as they are, and a manager's channels.

    Args:
        usages: what it answers to `ReadUsage`, one after the other.
        logs: what it answers to `ReadLogs`, again and again.
    """
    responses = iter(usages)

    async def answer(request: bytes, context: Any) -> bytes:
        return NO_MESSAGE

    async def answer_to_all(requests: AsyncGenerator[bytes], context: Any) -> bytes:
        return NO_MESSAGE

    async def measured(request: bytes, context: Any) -> bytes:
        return next(responses, NO_MESSAGE)

    async def answers(request: bytes, context: Any) -> AsyncGenerator[bytes]:
        yield NO_MESSAGE

    async def batches(request: bytes, context: Any) -> AsyncGenerator[bytes]:
        while True:
            yield logs

    handlers: dict[str, Any] = {name: grpc.unary_unary_rpc_method_handler(answer) for name in SINGLE}
    handlers["ReadUsage"] = grpc.unary_unary_rpc_method_handler(measured)
    handlers |= {name: grpc.unary_stream_rpc_method_handler(answers) for name in STREAMS}
    handlers["ReadLogs"] = grpc.unary_stream_rpc_method_handler(batches)
    of_containers: dict[str, Any] = {
        **{name: grpc.unary_unary_rpc_method_handler(answer) for name in SINGLE_OF_CONTAINERS},
        **{name: grpc.unary_stream_rpc_method_handler(answers) for name in STREAMS_OF_CONTAINERS},
        "WriteArchive": grpc.stream_unary_rpc_method_handler(answer_to_all),
    }
    authority = Authority.create(CLUSTER, datetime.now(UTC))
    shown, manager = (
        authority.issue(CertificateSubject(name, role, CLUSTER), datetime.now(UTC))
        for name, role in (("n1", Role.AGENT), ("m1", Role.MANAGER))
    )
    server = aio.server()
    for service, methods in (("AgentStreams", handlers), ("AgentContainers", of_containers)):
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(f"shoal.api.v1.{service}", methods),))
    port = listen(server, "127.0.0.1:0", lambda: shown)
    await server.start()
    channels = AgentChannels(lambda: manager)
    try:
        yield channels, AgentAddress("n1", f"127.0.0.1:{port}")
    finally:
        await channels.close()
        await server.stop(0)


async def first(answers: AsyncGenerator[Any, None]) -> Any:
    async with aclosing(answers):
        return await anext(answers)


async def no_archive() -> AsyncGenerator[engine_pb2.WriteArchiveRequest]:
    yield engine_pb2.WriteArchiveRequest()


CALLS: Calls = {
    "Probe": lambda channels, agent: channels.probe(agent, streams_pb2.ProbeRequest()),
    "ReadUsage": lambda channels, agent: channels.read_usage(agent, streams_pb2.ReadUsageRequest()),
    "ReadVolumeSizes": lambda channels, agent: channels.read_volume_sizes(agent, streams_pb2.ReadVolumeSizesRequest()),
    "CallDriver": lambda channels, agent: channels.call_driver(agent, streams_pb2.CallDriverRequest()),
    "ObserveTerm": lambda channels, agent: channels.observe_term(agent, 1),
    "OfferVolume": lambda channels, agent: channels.offer_volume(agent, streams_pb2.OfferVolumeRequest()),
    "DropVolumeCopy": lambda channels, agent: channels.drop_volume_copy(agent, streams_pb2.DropVolumeCopyRequest()),
    "ReadLogs": lambda channels, agent: first(channels.read_logs(agent, streams_pb2.ReadLogsRequest())),
    "FetchVolume": lambda channels, agent: first(channels.fetch_volume(agent, streams_pb2.FetchVolumeRequest())),
    "Pause": lambda channels, agent: ContainerChannels(channels).pause(agent, engine_pb2.PauseContainerRequest()),
    "Kill": lambda channels, agent: ContainerChannels(channels).kill(agent, engine_pb2.KillContainerRequest()),
    "ListProcesses": lambda channels, agent: ContainerChannels(channels).list_processes(
        agent, engine_pb2.ListProcessesRequest()
    ),
    "StatPath": lambda channels, agent: ContainerChannels(channels).stat_path(agent, engine_pb2.ArchiveRequest()),
    "WriteArchive": lambda channels, agent: ContainerChannels(channels).write_archive(agent, no_archive()),
    "ReadArchive": lambda channels, agent: first(
        ContainerChannels(channels).read_archive(agent, engine_pb2.ArchiveRequest())
    ),
    "ListDirectory": lambda channels, agent: first(
        ContainerChannels(channels).list_directory(agent, engine_pb2.ArchiveRequest())
    ),
    "ListChanges": lambda channels, agent: first(
        ContainerChannels(channels).list_changes(agent, engine_pb2.ListChangesRequest())
    ),
    "ExportContainer": lambda channels, agent: first(
        ContainerChannels(channels).export_container(agent, engine_pb2.ListChangesRequest())
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_answer_that_is_no_message_is_an_error_of_that_call(name: str) -> None:
    async def scenario() -> ShoalError:
        async with hostile_agent() as (channels, agent):
            with pytest.raises(Unavailable) as error:
                await CALLS[name](channels, agent)
            return error.value

    text = str(asyncio.run(scenario()))
    assert text.startswith("the agent at 127.0.0.1:") and "returned an unreadable response" in text


def usage(at_ns: int, **cpu_ns: int) -> bytes:
    tasks = [
        streams_pb2.TaskUsage(task_id=name, at_ns=at_ns, cpu_ns=used, memory_bytes=(1 << 63) - 1)
        for name, used in cpu_ns.items()
    ]
    return streams_pb2.ReadUsageResponse(tasks=tasks).SerializeToString()


def test_a_node_reports_its_own_tasks_alone_and_in_possible_numbers() -> None:
    async def scenario() -> None:
        responses = [usage(at_ns, own=at_ns << 61, others=at_ns << 61) for at_ns in (1, 2)]
        async with loaded_store(MemoryEtcd()) as store, hostile_agent(*responses) as (channels, agent):
            host, _, port = agent.address.rpartition(":")
            described = NodeDescription(hostname="n1", address=host, stream_port=int(port))
            status = NodeStatus(node_id="n1", state=NodeStatus.READY, description=described)
            await store.commit([put(kinds.NODE, "n1", Node(meta=Meta(id="n1"))), put(kinds.NODE_STATUS, "n1", status)])
            reader = UsageReader(view=lambda: store.tables, source=channels)
            for _ in responses:
                uses, warnings = await reader.read([Task(id="own", node_id="n1")])
            assert not warnings and set(uses) == {"own"}
            assert 0 <= uses["own"].nano_cpus <= 1 << 53 and 0 <= uses["own"].memory_bytes <= 1 << 53
            # Once more, with no message at all: a warning.
            assert "unreadable response" in (await reader.read([Task(id="own", node_id="n1")]))[1][0]

    asyncio.run(scenario())


def batch(*runs: tuple[str, bytes]) -> bytes:
    return streams_pb2.LogBatch(
        chunks=[streams_pb2.LogChunk(task_id=name, lines=lines) for name, lines in runs]
    ).SerializeToString()


LINE = timestamp_bytes(1) + b" stdout F x\n"
LATE = timestamp_bytes(1 << 62) + b" stdout F x\n"


@pytest.mark.parametrize(
    ("logs", "text"),
    [
        pytest.param(
            batch(("own", LINE), ("others", LINE)), "log lines of tasks that were not requested", id="of other tasks"
        ),
        pytest.param(
            batch(("own", b"\n" * (3 << 20) + LATE)), "log lines of tasks that were not requested", id="no lines"
        ),
        pytest.param(b"\x0a\x00" * (1 << 20), "too many entries; the maximum is 60,000", id="a million runs"),
    ],
)
def test_lines_are_those_of_the_tasks_that_were_asked_for(logs: bytes, text: str) -> None:
    async def scenario() -> None:
        async with hostile_agent(logs=logs) as (channels, agent):
            with pytest.raises(Unavailable, match=text):
                await first(channels.read_logs(agent, streams_pb2.ReadLogsRequest(task_ids=["own"])))

    asyncio.run(scenario())
