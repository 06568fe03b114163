"""What the modes of services have in common."""

from shoal.api.v1.service_pb2 import ServiceSpec

_JOBS = frozenset({"replicated_job", "global_job"})
_GLOBAL = frozenset({"global", "global_job"})


def is_job(spec: ServiceSpec) -> bool:
    """Its tasks are to end."""
    return spec.WhichOneof("mode") in _JOBS


def is_global(spec: ServiceSpec) -> bool:
    """It has a slot for each node that meets the placement."""
    return spec.WhichOneof("mode") in _GLOBAL


def completions(spec: ServiceSpec) -> int:
    """Tasks of a replicated job that are to end with exit code 0."""
    return spec.replicated_job.total_completions or 1
