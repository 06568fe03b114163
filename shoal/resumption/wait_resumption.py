"""A wait for the end of a container that goes on at another manager."""

from shoal.api.v1.engine_pb2 import WaitContainerRequest, WaitContainerResponse, WaitPosition


class WaitResumption:
    """The first response is shown once. An end while no manager was connected to counts."""

    def __init__(self, request: WaitContainerRequest) -> None:
        self._original = request
        self._position: WaitPosition | None = None

    def request(self) -> WaitContainerRequest:
        if self._position is None:
            return self._original
        resumed = WaitContainerRequest()
        resumed.CopyFrom(self._original)
        resumed.since.CopyFrom(self._position)
        return resumed

    def unseen(self, answer: WaitContainerResponse) -> WaitContainerResponse | None:
        if not answer.waiting:
            return answer
        is_first = self._position is None
        if is_first:
            self._position = answer.position
        return answer if is_first else None
