"""How a container is asked to stop, and for how long. Pure."""

from dataclasses import dataclass

from shoal.api.v1.service_pb2 import Endpoint, ServiceRevision
from shoal.signal_names import number_of

DEFAULT_GRACE_MS = 10_000
DEFAULT_DRAIN_MS = 5_000
DEFAULT_STOP_SIGNAL = "SIGTERM"


def stop_signal(revision: ServiceRevision | None, of_image: str) -> str:
    """The spec's, else the image's, else SIGTERM. One that is none counts for nothing."""
    own = revision.spec.task.container.stop_signal if revision is not None else ""
    return next((each for each in (own, of_image) if number_of(each) is not None), DEFAULT_STOP_SIGNAL)


def odd_stop_signal(of_image: str) -> str:
    """What the user is told of an image whose stop signal is none; empty where it is one."""
    if not of_image or number_of(of_image) is not None:
        return ""
    return f"the image's stop signal {of_image[:40]!a} is none; {DEFAULT_STOP_SIGNAL} is taken"


def grace_seconds(revision: ServiceRevision | None) -> float:
    """From the stop signal to SIGKILL."""
    container = revision.spec.task.container if revision is not None else None
    if container is not None and container.HasField("stop_grace_ms"):
        return container.stop_grace_ms / 1000
    return DEFAULT_GRACE_MS / 1000


@dataclass(frozen=True)
class DrainTerms:
    """What is waited for before the stop signal, once no node leads clients to the task.

    Attributes:
        clients_seconds: longest wait for connections that clients have open.
        by_name: clients were told its own address by its service's name, and may go by it for a while.
    """

    clients_seconds: float
    by_name: bool


def drain_terms(revision: ServiceRevision | None) -> DrainTerms:
    """Those of a task that runs this."""
    if revision is None:
        return DrainTerms(DEFAULT_DRAIN_MS / 1000, by_name=False)
    container = revision.spec.task.container
    drain_ms = container.drain_ms if container.HasField("drain_ms") else DEFAULT_DRAIN_MS
    return DrainTerms(drain_ms / 1000, revision.spec.endpoint.mode == Endpoint.DNSRR)
