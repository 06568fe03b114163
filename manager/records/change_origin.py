"""The request that a change comes from, as records have it."""

from shoal.api.v1.service_pb2 import ChangeOrigin
from shoal.telemetry.request_context import current_request


def change_origin() -> ChangeOrigin | None:
    """Of what the running task serves; None: nobody has requested it."""
    request = current_request()
    if request is None:
        return None
    return ChangeOrigin(request_id=request.request_id, traceparent=request.traceparent)
