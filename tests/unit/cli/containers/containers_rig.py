"""For the tests of `shoal run`: a manager that keeps containers in a dictionary, and runs a program in each."""

# ruff: noqa: N802  # the methods are named by the protocol

import os
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc

from shoal.api.v1.control_pb2 import ClusterView, GetClusterRequest
from shoal.api.v1.control_pb2_grpc import ControlServicer, add_ControlServicer_to_server
from shoal.api.v1.engine_pb2 import (
    ContainerView,
    CreateContainerRequest,
    GetContainerRequest,
    GetImageRequest,
    ImageView,
    RemoveContainerRequest,
    RemoveContainersResponse,
    StartContainerRequest,
    WaitContainerRequest,
    WaitContainerResponse,
)
from shoal.api.v1.engine_pb2_grpc import (
    ContainersServicer,
    ImagesServicer,
    add_ContainersServicer_to_server,
    add_ImagesServicer_to_server,
)
from shoal.api.v1.standalone_pb2 import Container, Image
from shoal.api.v1.streams_pb2 import AttachStart, ExecInput, ExecOutput, ExecStarted
from shoal.contexts.context_store import ContextStore
from shoal.errors import NotFound, ShoalError
from shoal.identity.authority import Authority
from shoal.identity.roles import CertificateSubject, Role
from shoal.rpc.status_mapping import code_of, details_of, trailer_of
from tests.unit.cli.exec.exec_rig import DEADLINE_SECONDS, Program, Rig, echo

IDENTIFIER = "0123456789abc"


@dataclass
class Manager(ControlServicer, ContainersServicer, ImagesServicer):
    """Has one image repository and at most one container, whose program begins with its start.

    Attributes:
        program: what is attached to; its first answer, that it has started, is not its own.
        code: the exit code that the records have.
        refused, not_created, attach_error: answers to the calls.
        calls: what was called, in order.
        requests: the creations. attached: how callers attached.
        created: the creation is answered only then. started: a start was answered.
    """

    program: Program = echo
    code: int = 0
    image: ImageView | None = field(default_factory=lambda: ImageView(names=["docker.io/library/app:latest"]))
    repository: str = "registry:5000/shoal/pool"
    refused: ShoalError | None = None
    not_created: ShoalError | None = None
    calls: list[str] = field(default_factory=list)
    requests: list[CreateContainerRequest] = field(default_factory=list)
    attached: list[AttachStart] = field(default_factory=list)
    may_create: threading.Event = field(default_factory=threading.Event)
    may_start: threading.Event = field(default_factory=threading.Event)
    creating: threading.Event = field(default_factory=threading.Event)
    starting: threading.Event = field(default_factory=threading.Event)
    running: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    removed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.may_create.set()
        self.may_start.set()

    def GetCluster(self, request: GetClusterRequest, context: Any) -> ClusterView:
        return ClusterView(image_repository=self.repository)

    def GetImage(self, request: GetImageRequest, context: Any) -> ImageView:
        if self.image is None:
            _abort(context, NotFound(f"No such image: {request.image}"))
        return self.image  # type: ignore[return-value]  # abort raises

    def CreateContainer(self, request: CreateContainerRequest, context: Any) -> ContainerView:
        if request.dry_run:
            _abort(context, self.not_created)
            return ContainerView()
        self.calls.append("create")
        self.requests.append(request)
        self.creating.set()
        self.may_create.wait(DEADLINE_SECONDS)
        _abort(context, self.not_created)
        return self._view()

    def RunContainer(self, request: CreateContainerRequest, context: Any) -> Iterator[ContainerView]:
        yield self.CreateContainer(request, context)
        yield self.StartContainer(StartContainerRequest(container=IDENTIFIER), context)

    def GetContainer(self, request: GetContainerRequest, context: Any) -> ContainerView:
        if not self.requests:
            _abort(context, NotFound(f'container "{request.container}" not found'))
        return self._view()

    def StartContainer(self, request: StartContainerRequest, context: Any) -> ContainerView:
        self.calls.append("start")
        self.starting.set()
        self.may_start.wait(DEADLINE_SECONDS)
        if self.refused is not None:
            self.ended.set()
        _abort(context, self.refused)
        self.running.set()
        return self._view()

    def WaitContainer(self, request: WaitContainerRequest, context: Any) -> Iterator[WaitContainerResponse]:
        self.calls.append(f"wait {WaitContainerRequest.Condition.Name(request.condition)}")
        context.add_callback(self.ended.set)
        yield WaitContainerResponse(waiting=True)
        self.ended.wait(DEADLINE_SECONDS)
        yield WaitContainerResponse(exit_code=self.code)

    def RemoveContainer(self, request: RemoveContainerRequest, context: Any) -> RemoveContainersResponse:
        self.calls.append("remove")
        self.removed.set()
        return RemoveContainersResponse(ids=[request.container])

    def AttachContainer(self, request_iterator: Iterator[ExecInput], context: Any) -> Iterator[ExecOutput]:
        context.add_callback(self.running.set)
        self.attached.append(next(request_iterator).attach)
        self.calls.append("attach")
        spec = self.requests[-1].definition.task.container
        yield ExecOutput(started=ExecStarted(task_name="c", has_terminal=spec.tty, reads_input=spec.stdin_open))
        self.running.wait(DEADLINE_SECONDS)
        try:
            answers = self.program(request_iterator)
            next(answers)
            yield from answers
        except grpc.RpcError:
            return  # the caller has gone
        except ShoalError as error:
            _abort(context, error)
        finally:
            self.ended.set()

    def _view(self) -> ContainerView:
        container = Container(name="c", definition=self.requests[-1].definition)
        container.meta.id = IDENTIFIER
        return ContainerView(container=container)


def _abort(context: Any, error: ShoalError | None) -> None:
    if error is not None:
        context.set_trailing_metadata(trailer_of(error))
        context.abort(code_of(error), details_of(error))


def with_image(config: bytes) -> ImageView:
    """An image of this configuration."""
    image = Image(name="docker.io/library/app:latest")
    image.variants.add(config=config)
    return ImageView(image=image, names=[image.name])


@contextmanager
def containers_rig(directory: Path) -> Generator[tuple[Rig, Manager]]:
    """The manager, and the command in processes of its own; `directory` gets the context."""
    now = datetime.now(UTC)
    authority = Authority.create("c", now)
    shown = authority.issue(CertificateSubject("m1", Role.MANAGER, "c"), now)
    manager = Manager()  # type: ignore[abstract]  # only some of its methods
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads)
        for add in (add_ControlServicer_to_server, add_ContainersServicer_to_server, add_ImagesServicer_to_server):
            add(manager, server)
        credentials = grpc.ssl_server_credentials([(shown.key, shown.certificate)], shown.ca, require_client_auth=True)
        address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
        identity = authority.issue(CertificateSubject("me", Role.ADMIN, "c"), now)
        ContextStore(directory).create("here", identity, [address])
        server.start()
        kept = {name: value for name, value in os.environ.items() if name not in ("SHOAL_CONTEXT", "NO_COLOR")}
        made = {**kept, "SHOAL_CONFIG": str(directory), "PYTHONPATH": str(Path(__file__).parents[4])}
        try:
            yield Rig(manager, server, address, made), manager  # type: ignore[arg-type]  # another manager
        finally:
            for event in (manager.may_create, manager.may_start, manager.running, manager.ended):
                event.set()
            server.stop(None).wait()
