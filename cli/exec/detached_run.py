"""One run of a container that this process only begins."""

from typing import TYPE_CHECKING

from cli.client import Client
from cli.exec.run_end import REMOVAL_SECONDS, RunEnd, start_error_code
from cli.render.error_lines import CommandFailed
from shoal.api.v1.engine_pb2 import CreateContainerRequest
from shoal.errors import Refused, Unavailable

if TYPE_CHECKING:
    from shoal.api.v1.engine_pb2_grpc import ContainersStub


class DetachedRun:
    """A container that is created and started by one call, and not attached to.

    Attributes:
        view: the container as it was created.

    Raises:
        ShoalError: it could not be created; nothing is left of it.
    """

    def __init__(self, client: Client, stub: "ContainersStub", request: CreateContainerRequest) -> None:
        self._stub = stub
        self._is_removed = request.definition.auto_remove
        self._views = client.stream(stub.RunContainer, request, seconds=None)
        self.view = next(self._views)

    def wait_until_started(self) -> None:
        """Return once it runs or has ended.

        Raises:
            CommandFailed: it could not be started; the code is Docker's.
        """
        try:
            for _ in self._views:
                pass
        except (Refused, Unavailable) as error:
            if self._is_removed and isinstance(error, Refused):
                RunEnd(self._stub, self.view.container.meta.id, is_removed=True).wait(REMOVAL_SECONDS)
            raise CommandFailed(str(error), start_error_code(str(error))) from error
