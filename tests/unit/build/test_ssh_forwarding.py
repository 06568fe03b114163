"""SSH agents of who builds: what passes between a command's socket and an agent, and what does not."""

import asyncio
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket

import pytest

from agent.build.program.running.ssh_forwarding import SshForwarding
from cli.builds.ssh_agents import answer
from cli.flags.ssh_option import parse_ssh
from shoal.api.v1.builds_pb2 import SshReply, SshRequest
from shoal.dockerfile.run_mounts import SshMount
from shoal.errors import InvalidInput
from shoal.spec_parsers.builds.ssh_messages import FAILURE, with_length

LIST, SIGN, ADD = b"\x0b", b"\x0d" + b"data", b"\x11" + b"key"


@contextmanager
def agent(path: Path) -> Iterator[list[bytes]]:
    """Answers each connection with one message: what it was asked, after a byte."""
    heard: list[bytes] = []
    with socket(AF_UNIX, SOCK_STREAM) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, connection.makefile("rb") as reader:
                    size = int.from_bytes(reader.read(4), "big")
                    if not size:
                        return
                    heard.append(reader.read(size))
                    connection.sendall(with_length(b"\x0c" + heard[-1]))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield heard
        finally:
            with socket(AF_UNIX, SOCK_STREAM) as last:
                last.connect(str(path))
                last.sendall(bytes(4))
            thread.join()


def play(path: Path, reply: Callable[[SshRequest], SshReply], *messages: bytes) -> list[bytes]:
    """What a command gets for its messages on one connection."""

    async def run() -> list[bytes]:
        async def send(request: SshRequest) -> None:
            forwarding.answered(reply(request))

        forwarding = SshForwarding(["default"], send)
        found: list[bytes] = []
        with ExitStack() as stack:
            await forwarding.open(SshMount(mode=0o640, uid=7, gid=8), path / "s", stack)
            status = (path / "s").stat()
            assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o640, 7, 8)
            reader, writer = await asyncio.open_unix_connection(str(path / "s"))
            for message in messages:
                writer.write(with_length(message))
                size = int.from_bytes(await reader.readexactly(4), "big")
                found.append(await reader.readexactly(size))
            writer.close()
            while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110  # the other end
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)
        return found

    return asyncio.run(run())


def test_a_list_and_a_signature_reach_the_agent_and_nothing_else(tmp_path: Path) -> None:
    with agent(tmp_path / "agent") as heard:
        agents = {"default": str(tmp_path / "agent")}
        found = play(tmp_path, lambda request: answer(agents, request), LIST, ADD, SIGN, b"", b"\x13")
    assert found == [b"\x0c" + LIST, FAILURE, b"\x0c" + SIGN, FAILURE, FAILURE] and heard == [LIST, SIGN]


def test_this_machine_does_not_believe_the_node(tmp_path: Path) -> None:
    with agent(tmp_path / "agent") as heard:
        agents = {"default": str(tmp_path / "agent")}
        assert answer(agents, SshRequest(number=3, id="default", message=ADD)) == SshReply(number=3)
        assert answer(agents, SshRequest(number=4, id="other", message=LIST)) == SshReply(number=4)
    assert not heard
    assert answer(agents, SshRequest(number=5, id="default", message=LIST)) == SshReply(number=5), "it has ended"


def test_a_path_that_is_longer_than_addresses_may_be(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d" * 60] * 3)
    deep.mkdir(parents=True)
    directory = deep / "x"
    directory.mkdir()

    async def run() -> None:
        with ExitStack() as stack:
            await SshForwarding([], lambda _: asyncio.sleep(0)).open(SshMount(), directory / "s", stack)
            assert stat.S_ISSOCK((directory / "s").stat().st_mode)

    asyncio.run(run())


def test_agents_as_they_are_written(tmp_path: Path) -> None:
    with agent(tmp_path / "agent"):
        path = str(tmp_path / "agent")
        assert parse_ssh("default", {"SSH_AUTH_SOCK": path}) == ("default", path)
        assert parse_ssh(f"git={path}", {}) == ("git", path)
    (tmp_path / "key").touch()
    for text, said in (
        ("default", "no SSH agent"),
        ("a=/none", "No such file"),
        (f"a={tmp_path}/key", "neither a socket of an SSH agent nor a private key"),
        ("=x", "form"),
    ):
        with pytest.raises(InvalidInput, match=said):
            parse_ssh(text, {})
