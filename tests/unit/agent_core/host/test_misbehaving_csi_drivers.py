"""Drivers that answer with rubbish, say too much, or nothing: the agent lives on, and so do the other drivers."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode, aio

from agent.csi.controller_service import ControllerService
from agent.csi.driver_errors import redacted
from agent.csi.driver_registry import DriverRegistry
from agent.csi.v1 import csi_pb2
from shoal.api.v1.streams_pb2 import CallDriverRequest, DriverCreateVolume, DriverDeleteVolume
from shoal.errors import Unavailable
from tests.polling import until

WORD = "tOp SeCrEt-9f"
RUBBISH = b"\xff\xff\xff\xff\x01no message"

Answer = bytes | StatusCode | None
"""Bytes as they are; an error, whose words have the request in them; None: nothing, ever."""


def sane(name: str = "d") -> dict[str, Answer]:
    """A driver that has nothing but a controller, which makes volumes."""
    service = csi_pb2.PluginCapability.Service
    able = csi_pb2.PluginCapability(service=service(type=service.CONTROLLER_SERVICE))
    rpc = csi_pb2.ControllerServiceCapability.RPC
    makes = csi_pb2.ControllerServiceCapability(rpc=rpc(type=rpc.CREATE_DELETE_VOLUME))
    return {
        "GetPluginInfo": csi_pb2.GetPluginInfoResponse(name=name).SerializeToString(),
        "GetPluginCapabilities": csi_pb2.GetPluginCapabilitiesResponse(capabilities=[able]).SerializeToString(),
        "ControllerGetCapabilities": csi_pb2.ControllerGetCapabilitiesResponse(
            capabilities=[makes]
        ).SerializeToString(),
        "NodeGetInfo": csi_pb2.NodeGetInfoResponse(node_id="n").SerializeToString(),
        "NodeGetCapabilities": b"",
        "Probe": b"",
    }


class Handler(grpc.GenericRpcHandler):
    """Answers each method with bytes as they are told."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self._answers = answers

    def service(self, details: Any) -> Any:
        answer = self._answers.get(details.method.rpartition("/")[2], StatusCode.UNIMPLEMENTED)

        async def serve(request: bytes, context: aio.ServicerContext[Any, Any]) -> bytes:
            if answer is None:
                await asyncio.Event().wait()
            if isinstance(answer, StatusCode):
                await context.abort(answer, f"cannot do {request.decode(errors='ignore')}")
            assert isinstance(answer, bytes)
            return answer

        return grpc.unary_unary_rpc_method_handler(serve)


@asynccontextmanager
async def served(socket: Path, answers: dict[str, Answer]) -> AsyncGenerator[None]:
    """A driver, as long as the block."""
    server = aio.server()
    server.add_generic_rpc_handlers((Handler(answers),))
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


@asynccontextmanager
async def drivers_of(directory: Path, **reported: dict[str, Answer]) -> AsyncGenerator[DriverRegistry]:
    """Drivers by the names of their sockets, beside an agent."""
    async with AsyncExitStack() as stack:
        for name, answers in reported.items():
            await stack.enter_async_context(served(directory / f"{name}.sock", answers))
        drivers = DriverRegistry(directory=directory, configured=(), call_seconds=0.2)
        running = asyncio.create_task(drivers.run())
        try:
            yield drivers
            assert not running.done(), running.exception()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await drivers.close()


@pytest.mark.parametrize(
    "odd",
    [
        *({method: RUBBISH} for method in sane()),
        {"NodeGetInfo": csi_pb2.NodeGetInfoResponse(node_id="n" * 257).SerializeToString()},
        {
            "NodeGetInfo": csi_pb2.NodeGetInfoResponse(
                node_id="n", accessible_topology=csi_pb2.Topology(segments={"zone": "z" * 300_000})
            ).SerializeToString()
        },
        {"Probe": None},
        {"GetPluginInfo": None},
    ],
)
def test_a_driver_that_cannot_be_understood_is_not_used_and_the_others_are(
    tmp_path: Path, odd: dict[str, Answer]
) -> None:
    async def run() -> None:
        async with drivers_of(tmp_path, bad={**sane("bad"), **odd}, good=sane("good")) as drivers:
            await until(lambda: "good" in [each.name for each in drivers.descriptions() if not each.problem])
            with pytest.raises(Unavailable):
                await until(lambda: drivers.get("bad") if drivers.descriptions() else None)
            assert drivers.get("good")

    asyncio.run(run())


def test_one_without_names_for_nodes_is_used_as_long_as_it_attaches_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        nameless: dict[str, Answer] = {**sane("files"), "NodeGetInfo": StatusCode.UNIMPLEMENTED}
        async with drivers_of(tmp_path, one=nameless) as drivers:
            await until(drivers.descriptions)
            assert drivers.descriptions()[0].node_id == "files"

    asyncio.run(run())


def test_one_that_moves_to_another_socket_is_called_there(tmp_path: Path) -> None:
    async def run() -> None:
        async with drivers_of(tmp_path) as drivers:
            async with served(tmp_path / "old.sock", {**sane(), "CreateVolume": StatusCode.NOT_FOUND}):
                await until(drivers.descriptions)
                async with served(tmp_path / "twin.sock", sane()):
                    assert "NOT_FOUND" in (await ControllerService(drivers).call(create())).failure.message
            await until(lambda: drivers.descriptions()[0].problem)
            async with served(tmp_path / "new.sock", {**sane(), "CreateVolume": StatusCode.OUT_OF_RANGE}):
                await until(lambda: not drivers.descriptions()[0].problem)
                assert "OUT_OF_RANGE" in (await ControllerService(drivers).call(create())).failure.message

    asyncio.run(run())


def create(**more: Any) -> CallDriverRequest:
    return CallDriverRequest(driver="d", create=DriverCreateVolume(name="v"), **more)


@pytest.mark.parametrize(
    ("answer", "reported", "is_outcome_unknown"),
    [
        (RUBBISH, "CreateVolume: invalid response", True),
        (None, "no response from driver d to CreateVolume within 0.2 s", True),
        (StatusCode.INVALID_ARGUMENT, "(INVALID_ARGUMENT)", False),
    ],
)
def test_a_call_that_goes_wrong_is_told(
    tmp_path: Path, answer: Answer, reported: str, is_outcome_unknown: bool
) -> None:
    async def run() -> None:
        async with drivers_of(tmp_path, one={**sane(), "CreateVolume": answer}) as drivers:
            await until(drivers.descriptions)
            failure = (await ControllerService(drivers).call(create())).failure
            assert reported in failure.message and failure.outcome_unknown is is_outcome_unknown

    asyncio.run(run())


def test_secrets_go_with_the_call_and_never_come_back_with_an_error(tmp_path: Path) -> None:
    async def run() -> None:
        odd: dict[str, Answer] = {"CreateVolume": StatusCode.PERMISSION_DENIED, "DeleteVolume": StatusCode.INTERNAL}
        async with drivers_of(tmp_path, one={**sane(), **odd}) as drivers:
            await until(drivers.descriptions)
            delete = CallDriverRequest(
                driver="d", delete=DriverDeleteVolume(driver_volume_id="v"), secrets={"pass": WORD}
            )
            for request in (create(secrets={"pass": WORD}), delete):
                reported = (await ControllerService(drivers).call(request)).failure.message
                assert "pass" in reported and "[secret]" in reported, "the driver had it, and said it"
                assert WORD not in reported and WORD.split()[1] not in reported

    asyncio.run(run())


def test_masking() -> None:
    assert redacted("no line1 line2, nor x", ["line1\n  line2\n", "", " "]) == "no [secret], nor x"
    assert redacted("bad abcdefgh", ["one abcdefgh two"]) == "bad [secret]", "a long word of it too"
    assert redacted("of one kind", ["one abcdefgh two"]) == "of one kind"
