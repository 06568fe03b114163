"""How a container is asked to stop, and for how long. Pure."""

from shoal.api.v1.service_pb2 import ServiceRevision

DEFAULT_GRACE_MS = 10_000
DEFAULT_STOP_SIGNAL = "SIGTERM"


def stop_signal(revision: ServiceRevision | None, of_image: str) -> str:
    """The spec's, else the image's, else SIGTERM."""
    own = revision.spec.task.container.stop_signal if revision is not None else ""
    return own or of_image or DEFAULT_STOP_SIGNAL


def grace_seconds(revision: ServiceRevision | None) -> float:
    """From the stop signal to SIGKILL."""
    container = revision.spec.task.container if revision is not None else None
    if container is not None and container.HasField("stop_grace_ms"):
        return container.stop_grace_ms / 1000
    return DEFAULT_GRACE_MS / 1000
