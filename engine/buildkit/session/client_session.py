"""Sessions: each a channel to what a client serves, by an id that the client has chosen."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from grpc import aio

from engine.buildkit.connection_relay import private_socket, relay
from engine.buildkit.session.known_files import KnownFiles
from engine.server.callers import ApiCaller
from engine.server.hijack import RawStream
from shoal.errors import AlreadyExists, NotFound

WAIT_SECONDS = 10.0
"""For a session that a request names: the client opens both at the same time."""
MAX_RESPONSE_BYTES = 16 << 20
WINDOW_BYTES = 4 << 20
"""That a client may send of a stream before it is read: each byte goes through the engine twice."""
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.default_authority", "localhost"),
    ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.max_frame_size", 1 << 20),
    ("grpc.enable_retries", 0),
)


@dataclass(frozen=True)
class ClientSession:
    """What a client serves.

    Attributes:
        methods: "/moby.filesync.v1.FileSync/DiffCopy" and others, in lower case, as the client has announced them.
        shared_key: of its directories: the same for each session that has the same ones; empty: nothing is known.
    """

    channel: aio.Channel
    methods: frozenset[str]
    shared_key: str = ""

    def serves(self, method: str) -> bool:
        """Whether the client has announced a method."""
        return method.lower() in self.methods


class ClientSessions:
    """Sessions that are open. They are found by the caller who has opened them, and by nobody else.

    Attributes:
        known_files: of the directories of all sessions, also of earlier ones.
    """

    def __init__(self) -> None:
        self.known_files = KnownFiles()
        self._sessions: dict[tuple[ApiCaller, str], ClientSession] = {}
        self._opened = asyncio.Event()

    async def hold(
        self, caller: ApiCaller, identifier: str, methods: Sequence[str], stream: RawStream, shared_key: str = ""
    ) -> None:
        """Keep a session until the client closes its connection.

        Raises:
            AlreadyExists: the caller has one of this id.
        """
        key = caller, identifier
        if key in self._sessions:
            raise AlreadyExists(f"session {identifier[:80]} is open already")
        async with _channel(stream) as (channel, ended):
            self._sessions[key] = ClientSession(channel, frozenset(each.lower() for each in methods), shared_key)
            opened, self._opened = self._opened, asyncio.Event()
            opened.set()
            try:
                await ended
            finally:
                del self._sessions[key]

    async def find(self, caller: ApiCaller, identifier: str) -> ClientSession:
        """A session, as soon as it is open.

        Raises:
            NotFound: it was not opened in `WAIT_SECONDS`.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while (found := self._sessions.get((caller, identifier))) is None:
                    await self._opened.wait()
        except TimeoutError:
            raise NotFound(f"no active session for {identifier[:80]}") from None
        return found


@asynccontextmanager
async def _channel(stream: RawStream) -> AsyncGenerator[tuple[aio.Channel, "asyncio.Task[None]"]]:
    """A channel over the stream, and the task that ends with it."""
    connected: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Future()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if connected.done():
            writer.close()
        else:
            connected.set_result((reader, writer))

    with private_socket() as path:
        server = await asyncio.start_unix_server(accept, path)
        try:
            async with aio.insecure_channel(f"unix:{path}", options=_OPTIONS) as channel:
                channel.get_state(try_to_connect=True)
                relaying = asyncio.create_task(relay(stream, *await connected))
                try:
                    yield channel, relaying
                finally:
                    relaying.cancel()
                    await asyncio.gather(relaying, return_exceptions=True)
        finally:
            server.close()
