"""A manager of a cluster that is made up, for programs that call one: gRPC with mutual TLS, and a real authority."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

from shoal.api.v1.certificate_authority_pb2 import IssueServerCertificateRequest, IssueServerCertificateResponse
from shoal.identity.authority import Authority
from shoal.identity.identity import Identity
from shoal.identity.roles import CertificateSubject, Role
from shoal.rpc.grpc_server import listen, started

CLUSTER = "cluster1"


@dataclass
class MadeUpManager(grpc.GenericRpcHandler):
    """Answers calls by their names and remembers them; what has no answer is unimplemented.

    Attributes:
        requests: names and messages, in order. metadata: of the newest call of each name.
    """

    answers: Mapping[str, Message | Exception]
    streams: Mapping[str, Callable[[], AsyncIterable[Message]]]
    authority: Authority = field(
        default_factory=lambda: Authority.create(CLUSTER, datetime.now(UTC) - timedelta(days=1))
    )
    requests: list[tuple[str, Message]] = field(default_factory=list)
    metadata: dict[str, dict[str, str | bytes]] = field(default_factory=dict)

    def identity(self, name: str, role: Role) -> Identity:
        """Of the cluster's authority."""
        return self.authority.issue(CertificateSubject(name, role, CLUSTER), datetime.now(UTC))

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a call."""
        service, _, name = handler_call_details.method.strip("/").rpartition("/")
        method = Default().FindServiceByName(service).methods_by_name[name]
        more: Any = {
            "request_deserializer": GetMessageClass(method.input_type).FromString,
            "response_serializer": GetMessageClass(method.output_type).SerializeToString,
        }
        note = self._noted(name)

        async def one(request: Message, context: aio.ServicerContext[Any, Any]) -> Message:
            note(request, context)
            answer = _issued(self.authority, request) or self.answers.get(name)
            if not isinstance(answer, Message):
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"no answer to {name}")
            return answer

        async def many(request: Message, context: aio.ServicerContext[Any, Any]) -> AsyncGenerator[Message]:
            note(request, context)
            async for each in self.streams[name]():
                yield each

        if name in self.streams:
            return grpc.unary_stream_rpc_method_handler(many, **more)
        return grpc.unary_unary_rpc_method_handler(one, **more)

    def _noted(self, name: str) -> Callable[[Message, aio.ServicerContext[Any, Any]], None]:
        def note(request: Message, context: aio.ServicerContext[Any, Any]) -> None:
            self.requests.append((name, request))
            self.metadata[name] = dict(context.invocation_metadata() or ())

        return note


def _issued(authority: Authority, request: Message) -> Message | None:
    """The server certificate that is asked for, as a manager of the cluster gives it."""
    if not isinstance(request, IssueServerCertificateRequest):
        return None
    caller = CertificateSubject("console", Role.CONSOLE, CLUSTER)
    certificate = authority.sign_server(request.csr, caller, request.names, datetime.now(UTC))
    return IssueServerCertificateResponse(certificate=certificate)


@asynccontextmanager
async def serving(manager: MadeUpManager) -> AsyncGenerator[str]:
    """It serves on loopback; its address."""
    server, own = aio.server(), manager.identity("m1", Role.MANAGER)
    server.add_generic_rpc_handlers((manager,))
    port = listen(server, "127.0.0.1:0", lambda: own)
    async with started(server):
        yield f"127.0.0.1:{port}"
