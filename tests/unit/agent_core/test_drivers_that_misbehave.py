"""Drivers that answer with rubbish, say too much, or nothing: the agent lives on, and so do the other drivers."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode, aio

from agent.csi.controller import Controller
from agent.csi.drivers import Drivers
from agent.csi.failures import masked
from agent.csi.v1 import csi_pb2 as csi
from shoal.api.v1.streams_pb2 import CallDriverRequest, CreateOnDriver, DeleteOnDriver
from shoal.errors import Unavailable

WORD = "tOp SeCrEt-9f"
RUBBISH = b"\xff\xff\xff\xff\x01no message"

Answer = bytes | StatusCode | None
"""Bytes as they are; an error, whose words have the request in them; None: nothing, ever."""


def sane(name: str = "d") -> dict[str, Answer]:
    """A driver that has nothing but a controller, which makes volumes."""
    service = csi.PluginCapability.Service
    able = csi.PluginCapability(service=service(type=service.CONTROLLER_SERVICE))
    rpc = csi.ControllerServiceCapability.RPC
    makes = csi.ControllerServiceCapability(rpc=rpc(type=rpc.CREATE_DELETE_VOLUME))
    return {
        "GetPluginInfo": csi.GetPluginInfoResponse(name=name).SerializeToString(),
        "GetPluginCapabilities": csi.GetPluginCapabilitiesResponse(capabilities=[able]).SerializeToString(),
        "ControllerGetCapabilities": csi.ControllerGetCapabilitiesResponse(capabilities=[makes]).SerializeToString(),
        "NodeGetInfo": csi.NodeGetInfoResponse(node_id="n").SerializeToString(),
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
async def drivers_of(directory: Path, **told: dict[str, Answer]) -> AsyncGenerator[Drivers]:
    """Drivers by the names of their sockets, beside an agent."""
    async with AsyncExitStack() as stack:
        for name, answers in told.items():
            await stack.enter_async_context(served(directory / f"{name}.sock", answers))
        drivers = Drivers(directory=directory, told=(), call_seconds=0.2)
        running = asyncio.create_task(drivers.run())
        try:
            yield drivers
            assert not running.done(), running.exception()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await drivers.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # what other programs do is waited for
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "odd",
    [
        *({method: RUBBISH} for method in sane()),
        {"NodeGetInfo": csi.NodeGetInfoResponse(node_id="n" * 257).SerializeToString()},
        {
            "NodeGetInfo": csi.NodeGetInfoResponse(
                node_id="n", accessible_topology=csi.Topology(segments={"zone": "z" * 300_000})
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
            await until(lambda: "good" in [each.name for each in drivers.described() if not each.problem])
            with pytest.raises(Unavailable):
                await until(lambda: drivers.named("bad") if drivers.described() else None)
            assert drivers.named("good")

    asyncio.run(run())


def test_one_without_names_for_nodes_is_used_as_long_as_it_attaches_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        nameless: dict[str, Answer] = {**sane("files"), "NodeGetInfo": StatusCode.UNIMPLEMENTED}
        async with drivers_of(tmp_path, one=nameless) as drivers:
            await until(drivers.described)
            assert drivers.described()[0].node_id == "files"

    asyncio.run(run())


def test_one_that_moves_to_another_socket_is_called_there(tmp_path: Path) -> None:
    async def run() -> None:
        async with drivers_of(tmp_path) as drivers:
            async with served(tmp_path / "old.sock", {**sane(), "CreateVolume": StatusCode.NOT_FOUND}):
                await until(drivers.described)
                async with served(tmp_path / "twin.sock", sane()):
                    assert "NOT_FOUND" in (await Controller(drivers).call(create())).failure.message
            await until(lambda: drivers.described()[0].problem)
            async with served(tmp_path / "new.sock", {**sane(), "CreateVolume": StatusCode.OUT_OF_RANGE}):
                await until(lambda: not drivers.described()[0].problem)
                assert "OUT_OF_RANGE" in (await Controller(drivers).call(create())).failure.message

    asyncio.run(run())


def create(**more: Any) -> CallDriverRequest:
    return CallDriverRequest(driver="d", create=CreateOnDriver(name="v"), **more)


@pytest.mark.parametrize(
    ("answer", "told", "uncertain"),
    [
        (RUBBISH, "CreateVolume: its answer cannot be understood", True),
        (None, "did not answer CreateVolume within 0.2 s", True),
        (StatusCode.INVALID_ARGUMENT, "(INVALID_ARGUMENT)", False),
    ],
)
def test_a_call_that_goes_wrong_is_told(tmp_path: Path, answer: Answer, told: str, uncertain: bool) -> None:
    async def run() -> None:
        async with drivers_of(tmp_path, one={**sane(), "CreateVolume": answer}) as drivers:
            await until(drivers.described)
            failure = (await Controller(drivers).call(create())).failure
            assert told in failure.message and failure.uncertain is uncertain

    asyncio.run(run())


def test_secrets_go_with_the_call_and_never_come_back_with_an_error(tmp_path: Path) -> None:
    async def run() -> None:
        odd: dict[str, Answer] = {"CreateVolume": StatusCode.PERMISSION_DENIED, "DeleteVolume": StatusCode.INTERNAL}
        async with drivers_of(tmp_path, one={**sane(), **odd}) as drivers:
            await until(drivers.described)
            delete = CallDriverRequest(driver="d", delete=DeleteOnDriver(driver_volume_id="v"), secrets={"pass": WORD})
            for request in (create(secrets={"pass": WORD}), delete):
                told = (await Controller(drivers).call(request)).failure.message
                assert "pass" in told and "[secret]" in told, "the driver had it, and said it"
                assert WORD not in told and WORD.split()[1] not in told

    asyncio.run(run())


def test_masking() -> None:
    assert masked("no line1 line2, nor x", ["line1\n  line2\n", "", " "]) == "no [secret], nor x"
    assert masked("bad abcdefgh", ["one abcdefgh two"]) == "bad [secret]", "a long word of it too"
    assert masked("of one kind", ["one abcdefgh two"]) == "of one kind"
