"""What a service that another one depends on is to do, in words."""

from shoal.api.v1.service_pb2 import Dependency

GOALS = {
    Dependency.CONDITION_UNSPECIFIED: "start",
    Dependency.STARTED: "start",
    Dependency.HEALTHY: "be healthy",
    Dependency.COMPLETED: "complete",
}
"""What a dependency is to do, by the condition."""
