"""gRPC servicer of `Health`."""

from engine.buildkit.rpc_errors import Context
from engine.buildkit.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from engine.buildkit.v1.health_pb2_grpc import HealthServicer


class HealthService(HealthServicer):
    """Who answers is well."""

    async def Check(self, request: HealthCheckRequest, context: Context) -> HealthCheckResponse:  # noqa: N802
        """Always well."""
        return HealthCheckResponse(status=HealthCheckResponse.SERVING)
