"""The effective health check of a container: the spec's, completed from the image's and the defaults. Pure."""

from shoal.api.v1.container_pb2 import Healthcheck

DEFAULT_INTERVAL_MS = 30_000
DEFAULT_TIMEOUT_MS = 30_000
DEFAULT_RETRIES = 3
DEFAULT_START_INTERVAL_MS = 5_000
_SHELL = ("/bin/sh", "-c")


def effective_healthcheck(spec: Healthcheck, image: Healthcheck | None) -> Healthcheck | None:
    """The effective check with all numbers set; None if there is none.

    As in Docker, the spec may override single numbers: for example the interval, with the image's test.

    Args:
        spec: the spec's; empty if not set.
        image: the image's own (HEALTHCHECK of a Dockerfile).
    """
    if spec.disabled or list(spec.test) == ["NONE"]:
        return None
    whole = Healthcheck()
    if image is not None:
        whole.CopyFrom(image)
    if _has_probe(spec):
        for field in ("test", "http", "tcp"):
            whole.ClearField(field)
    whole.MergeFrom(spec)
    if not _has_probe(whole) or list(whole.test) == ["NONE"]:
        return None
    whole.interval_ms = whole.interval_ms or DEFAULT_INTERVAL_MS
    whole.timeout_ms = whole.timeout_ms or DEFAULT_TIMEOUT_MS
    whole.retries = whole.retries or DEFAULT_RETRIES
    whole.start_interval_ms = whole.start_interval_ms or DEFAULT_START_INTERVAL_MS
    return whole


def exec_command(check: Healthcheck) -> tuple[str, ...]:
    """The command to run in the container for a `test`."""
    kind, *rest = check.test
    return (*_SHELL, *rest) if kind == "CMD-SHELL" else tuple(rest)


def _has_probe(check: Healthcheck) -> bool:
    return bool(check.test) or check.HasField("http") or check.HasField("tcp")
