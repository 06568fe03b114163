"""What is announced to clients: capabilities, workers, versions. Pure."""

from collections.abc import Iterable

from engine.buildkit.v1.caps_pb2 import APICap
from engine.buildkit.v1.gateway_pb2 import PongResponse
from engine.buildkit.v1.ops_pb2 import Platform
from engine.buildkit.v1.worker_pb2 import BuildkitVersion, WorkerRecord

BUILDKIT_VERSION = "v0.22.0"
"""That of Docker 28.2, whose API is served: clients compare it."""
_PACKAGE = "github.com/moby/buildkit"
_WORKER = "shoal"
_SNAPSHOTTER = "org.mobyproject.buildkit.worker.snapshotter"
"""A label by which clients know that there is more than Docker's own image store has: archives, exported caches."""
_HOST_GATEWAY = "org.mobyproject.buildkit.worker.moby.host-gateway-ip"
HOST_GATEWAY_ADDRESS = "192.0.2.254"
"""What clients put in the place of `host-gateway`. It is of no host (RFC 5737): the node puts its own address there."""
_FRONTEND = (
    "solve.base",
    "return",
    "returnmap",
    "proto.refarray",
    "reference.output",
    "importcaches",
    "frontend.inputs",
    "gateway.solve.metadata",
    "gateway.evaluate",
    "gateway.solve.evaluate",
    "frontend.caps",
)
_LLB = (
    "source.image",
    "source.local",
    "source.git",
    "source.http",
    "exec.meta.base",
    "file.base",
    "constraints",
    "platform",
    "meta.description",
)


def pong() -> PongResponse:
    """What the gateway can do. Nothing of it is called but solves of Dockerfiles."""
    return PongResponse(
        frontend_api_caps=[APICap(id=each, enabled=True) for each in _FRONTEND],
        llb_caps=[APICap(id=each, enabled=True) for each in _LLB],
    )


def version() -> BuildkitVersion:
    """Whose API it is."""
    return BuildkitVersion(package=_PACKAGE, version=BUILDKIT_VERSION)


def worker(platforms: Iterable[tuple[str, str]]) -> WorkerRecord:
    """The cluster as one worker.

    Args:
        platforms: of the nodes that are ready: system and architecture.
    """
    once = sorted(set(platforms))
    return WorkerRecord(
        id=_WORKER,
        labels={_SNAPSHOTTER: _WORKER, _HOST_GATEWAY: HOST_GATEWAY_ADDRESS},
        platforms=[Platform(os=system, architecture=architecture) for system, architecture in once],
        buildkit_version=version(),
    )
