"""Stop signal, grace period and drain time of a container. Pure."""

import math
from dataclasses import dataclass

from shoal.api.v1.service_pb2 import Endpoint, ServiceRevision
from shoal.api.v1.task_pb2 import Task
from shoal.signal_names import signal_number

DEFAULT_GRACE_MS = 10_000
DEFAULT_DRAIN_MS = 5_000
DEFAULT_STOP_SIGNAL = "SIGTERM"


def stop_signal(task: Task, revision: ServiceRevision | None, image_signal: str) -> str:
    """That of the order to stop, else the spec's, else the image's, else SIGTERM. Unknown signals are ignored."""
    own = revision.spec.task.container.stop_signal if revision is not None else ""
    known = (each for each in (task.stop.signal, own, image_signal) if signal_number(each) is not None)
    return next(known, DEFAULT_STOP_SIGNAL)


def invalid_stop_signal_warning(image_signal: str) -> str:
    """The warning for an image whose stop signal is unknown; empty otherwise."""
    if not image_signal or signal_number(image_signal) is not None:
        return ""
    return f"unknown stop signal {image_signal[:40]!a} in the image; using {DEFAULT_STOP_SIGNAL}"


def grace_seconds(task: Task, revision: ServiceRevision | None) -> float:
    """Time from the stop signal to SIGKILL, that of the order to stop, else the spec's; infinity: never SIGKILL."""
    grace_ms = DEFAULT_GRACE_MS
    if task.stop.HasField("grace_ms"):
        grace_ms = task.stop.grace_ms
    elif revision is not None and revision.spec.task.container.HasField("stop_grace_ms"):
        grace_ms = revision.spec.task.container.stop_grace_ms
    return grace_ms / 1000 if grace_ms >= 0 else math.inf


@dataclass(frozen=True)
class DrainPolicy:
    """Waits before the stop signal, once no node routes connections to the task.

    Attributes:
        timeout_seconds: longest wait for open connections to end.
        uses_dnsrr: DNS resolves the service's name to the task's own address, and clients may cache it.
    """

    timeout_seconds: float
    uses_dnsrr: bool


def drain_policy(revision: ServiceRevision | None) -> DrainPolicy:
    """The drain policy of a task of this revision."""
    if revision is None:
        return DrainPolicy(DEFAULT_DRAIN_MS / 1000, uses_dnsrr=False)
    container = revision.spec.task.container
    drain_ms = container.drain_ms if container.HasField("drain_ms") else DEFAULT_DRAIN_MS
    return DrainPolicy(drain_ms / 1000, revision.spec.endpoint.mode == Endpoint.DNSRR)
