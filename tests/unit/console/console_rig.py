"""A console over managers that answer what a test says, and a browser's side of it."""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import ClientResponse, ClientWebSocketResponse, CookieJar
from aiohttp.test_utils import TestClient, TestServer
from google.protobuf.message import Message

from console.app import Console, build
from console.server.assets import Asset, Assets
from console.settings import ConsoleSettings
from shoal.api.v1.control_pb2 import ClusterChanges
from shoal.identity.authority import Authority
from shoal.identity.identity import Identity
from shoal.identity.roles import CertificateSubject, Role
from shoal.manager_calls.acting_user import acting_metadata
from shoal.manager_calls.stale_reads import note_answer
from shoal.resumption.resume_attempts import Resumption
from shoal.rpc.read_revisions import STALE_KEY

PAGE = b"<!doctype html><title>Shoal</title>"
ASSETS = Assets(
    {
        "index.html": Asset(PAGE, b"", "text/html", immutable=False),
        "assets/app-1.js": Asset(b"code", b"gz", "text/javascript", immutable=True),
    }
)
AUTHORITY = Authority.create("cluster1", datetime.now(UTC) - timedelta(minutes=1))
IDENTITY = AUTHORITY.issue(CertificateSubject("ada", Role.ADMIN, "cluster1"), datetime.now(UTC))


class _Stub:
    """Methods of a stub, which are their names."""

    def __getattr__(self, name: str) -> str:
        return name


@dataclass
class FakeManagers:
    """What the console calls of managers.

    Attributes:
        answers: by method: a message, or an error to raise.
        streams: by method: messages, after which the stream stays open; an error ends it.
        requests: what was asked, in order.
        acting: whom the newest call was made for, as metadata.
        stale_since_ms: since when the one that answers is disconnected from etcd; 0: it is not.
    """

    answers: dict[str, Message | Exception] = field(default_factory=dict)
    streams: dict[str, Callable[[], AsyncIterable[Message]]] = field(default_factory=dict)
    requests: list[tuple[str, Message]] = field(default_factory=list)
    acting: tuple[tuple[str, str], ...] = ()
    control: Any = field(default_factory=_Stub)
    containers: Any = field(default_factory=_Stub)
    images: Any = field(default_factory=_Stub)
    stale_since_ms: int = 0

    async def call(self, method: str, request: Message | AsyncIterable[Message], **_: object) -> Message:
        self.acting = acting_metadata()
        if isinstance(request, Message):
            copy = type(request)()
            copy.CopyFrom(request)
            self.requests.append((method, copy))
        else:
            self.requests += [(method, each) async for each in request]
        note_answer(((STALE_KEY, str(self.stale_since_ms)),))
        found = self.answers[method]
        if isinstance(found, Exception):
            raise found
        return found

    async def stream(self, method: str, request: Message) -> AsyncGenerator[Message]:
        self.acting = acting_metadata()
        self.requests.append((method, request))
        async for each in self.streams[method]():
            yield each

    async def resumed_stream(self, method: str, resumption: Resumption[Any, Any]) -> AsyncGenerator[Message]:
        """Until it ends; whether it is resumed is the managers' affair (`Managers.resumed_stream`)."""
        async for each in self.stream(method, resumption.request()):
            if (unseen := resumption.unseen(each)) is not None:
                yield unseen


@dataclass
class Browser:
    """A browser that speaks to the console as its pages do."""

    client: "TestClient[Any, Any]"
    console: Console

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.client.port}"

    async def get(self, path: str, **headers: str) -> ClientResponse:
        return await self.client.get(path, headers=headers)

    async def post(self, path: str, document: object, **headers: str) -> ClientResponse:
        return await self.client.post(path, json=document, headers={"Origin": self.origin, **headers})

    async def open(self, path: str) -> ClientWebSocketResponse:
        return await self.client.ws_connect(path, headers={"Origin": self.origin})

    async def sign_in(self) -> None:
        assert (await self.post("/api/session", {"token": self.console.one_time_token()})).status == 200


@asynccontextmanager
async def browser(
    managers: FakeManagers, *, signed_in: bool = True, identity: Identity = IDENTITY
) -> AsyncGenerator[Browser]:
    """A browser and its console, which does not follow the managers unless the test runs the feed."""
    settings = ConsoleSettings(local=True, listen="127.0.0.1:0")
    untyped: Any = managers
    console = build(settings, untyped, identity=identity, context="prod", port=1, assets=ASSETS)
    async with TestClient(TestServer(console.app), cookie_jar=CookieJar(unsafe=True)) as client:
        found = Browser(client, console)
        if signed_in:
            await found.sign_in()
        yield found


def complete(*parts: ClusterChanges) -> list[ClusterChanges]:
    """A snapshot of these parts."""
    return [*parts, ClusterChanges(complete=True)]


Scenario = Callable[[Browser], Awaitable[None]]
