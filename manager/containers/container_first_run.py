"""The call that creates a container and starts it."""

from collections.abc import AsyncGenerator

from manager.containers.container_handler import ContainerHandler
from manager.containers.container_runs import ContainerRuns
from shoal.api.v1.engine_pb2 import ContainerView, CreateContainerRequest, StartContainerRequest
from shoal.api.v1.standalone_pb2 import Container
from shoal.rpc.caller import Caller


class ContainerFirstRun:
    """Creates a container with its first run: one record and one pass of the planner, where two calls need two."""

    def __init__(self, *, records: ContainerHandler, runs: ContainerRuns) -> None:
        self._records = records
        self._runs = runs

    async def run(self, request: CreateContainerRequest, caller: Caller) -> AsyncGenerator[ContainerView]:
        """What `ContainerHandler.create` answers, then what `ContainerRuns.start` does; of a dry run the first only.

        Raises:
            ShoalError: before the first answer as `create`: nothing is left; after it as `start`: it was created.
        """
        # Files that are adopted are confirmed to be there before anything is started on them.
        view = await self._records.create(request, caller, starts=not request.adopt)
        yield view
        if request.dry_run:
            return
        if view.container.desired == Container.CREATED:  # its first run was refused; the second says why
            yield await self._runs.start(StartContainerRequest(container=view.container.meta.id), caller)
        else:
            yield await self._runs.first_run(view.container)
