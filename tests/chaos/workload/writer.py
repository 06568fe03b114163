"""A writer: one write to the API a second, of which it knows whether it was acknowledged."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cli.client import Client
from shoal.api.v1.control_pb2 import (
    CreateFileRequest,
    GetServiceRequest,
    RemoveFileRequest,
    ScaleServicesRequest,
    UpdateFileRequest,
    UpdateServiceRequest,
)
from shoal.api.v1.engine_pb2 import StopContainerRequest
from shoal.api.v1.engine_pb2_grpc import ContainersStub
from shoal.api.v1.file_pb2 import FileSpec
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.contexts.context_file import Context
from shoal.errors import ConnectionLost, ShoalError, Timeout
from tests.chaos.history import FAIL, INFO, INVOKE, OK, History

WRITER = "writer"
LEDGER = "ledger"
"""The config whose label has the number of the newest write to it."""
LABEL = "number"
PERIOD_SECONDS = 1.0
CALL_SECONDS = 10.0
_CONTENT = b"x" * 200


def config_name(number: int) -> str:
    return f"written-{number}"


def written_number(name: str) -> int:
    """Of a config that the writer has created; 0: it is another one."""
    number = name.removeprefix(config_name(0)[:-1])
    return int(number) if number != name and number.isdigit() else 0


class Writer:
    """A thread that writes until it is stopped.

    Args:
        seed: of what it writes.
    """

    def __init__(self, context: Context, history: History, seed: int) -> None:
        self._context = context
        self._history = history
        self._rng = random.Random(seed)
        self._number = 0
        self._made: list[int] = []
        self._stopping = threading.Event()
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._kinds: Mapping[str, tuple[int, Callable[[Client, int], Any]]] = {
            "create-config": (40, self._create),
            "label-config": (25, self._label),
            "remove-config": (10, self._remove),
            "scale": (10, self._scale),
            "update": (4, self._update),
            "run-job": (4, self._run_job),
            "restart-container": (4, self._restart),
        }

    def start(self) -> None:
        """Begins with the ledger. Raises ShoalError: it cannot be made."""
        with Client(self._context) as client:
            spec = FileSpec(name=LEDGER, labels={LABEL: "0"})
            client.call(client.control.CreateConfig, CreateFileRequest(spec=spec, content=b"-"))
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No write is under way, and none begins, for as long as the block."""
        with self._turn:
            yield

    def _run(self) -> None:
        due = time.monotonic()
        with Client(self._context) as client:
            while not self._stopping.wait(max(0.0, due - time.monotonic())):
                due = max(due + PERIOD_SECONDS, time.monotonic() - PERIOD_SECONDS)
                with self._turn:
                    self._write(client)

    def _write(self, client: Client) -> None:
        self._number += 1
        names = list(self._kinds)
        name = self._rng.choices(names, [self._kinds[each][0] for each in names])[0]
        if name == "remove-config" and not self._made:
            name = "create-config"
        number = self._made[0] if name == "remove-config" else self._number
        self._history.add(WRITER, INVOKE, name, number)
        kind, error = OK, ""
        try:
            self._kinds[name][1](client, number)
        except (Timeout, ConnectionLost) as unknown:
            kind, error = INFO, str(unknown)
        except ShoalError as refused:
            kind, error = FAIL, f"{type(refused).__name__}: {refused}"
        self._history.add(WRITER, kind, name, number, error)
        if name == "create-config" and kind == OK:
            self._made.append(number)

    def _create(self, client: Client, number: int) -> None:
        spec = FileSpec(name=config_name(number), labels={LABEL: str(number)})
        request = CreateFileRequest(spec=spec, content=_CONTENT)
        client.call(client.control.CreateConfig, request, seconds=CALL_SECONDS)

    def _label(self, client: Client, number: int) -> None:
        request = UpdateFileRequest(file=LEDGER, labels_add={LABEL: str(number)})
        client.call(client.control.UpdateConfig, request, seconds=CALL_SECONDS)

    def _remove(self, client: Client, number: int) -> None:
        self._made.remove(number)
        client.call(client.control.RemoveConfig, RemoveFileRequest(file=config_name(number)), seconds=CALL_SECONDS)

    def _scale(self, client: Client, number: int) -> None:
        target = ScaleServicesRequest.Target(service="scaled", replicas=1 + number % 4)
        client.call(client.control.ScaleServices, ScaleServicesRequest(targets=[target]), seconds=CALL_SECONDS)

    def _update(self, client: Client, number: int) -> None:
        def renumber(spec: ServiceSpec) -> None:
            spec.task.container.env[:] = [f"VERSION={number}"]

        self._change(client, "web", renumber)

    def _run_job(self, client: Client, number: int) -> None:
        def force(spec: ServiceSpec) -> None:
            spec.task.force_update += 1

        self._change(client, "job", force)

    def _change(self, client: Client, service: str, change: Callable[[ServiceSpec], None]) -> None:
        view = client.call(client.control.GetService, GetServiceRequest(service=service), seconds=CALL_SECONDS)
        spec = view.service.spec
        change(spec)
        request = UpdateServiceRequest(service=service, version=view.service.meta.version, spec=spec)
        client.call(client.control.UpdateService, request, seconds=CALL_SECONDS)

    def _restart(self, client: Client, number: int) -> None:
        request = StopContainerRequest(container="own-1")
        client.call(ContainersStub(client.channel).RestartContainer, request, seconds=CALL_SECONDS)
