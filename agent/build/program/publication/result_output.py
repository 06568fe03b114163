"""What becomes of the result: an image of the cluster, an archive, files, or nothing; and caches that are exported."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.build.program.agent_connection import AgentConnection
from agent.build.program.caching.layer_cache import LayerCache
from agent.build.program.executor import Executor
from agent.build.program.publication.cache_export import CacheExport
from agent.build.program.publication.output_pieces import send_pieces
from agent.build.program.publication.publishing import Publisher
from agent.build.program.publication.result_files import result_files
from agent.build.program.results import Layers
from agent.build.program.workspace import Workspace
from shoal.api.v1.builds_pb2 import BuildOutput, BuildResult, BuildStart
from shoal.dockerfile.evaluation.evaluate import Evaluation

if TYPE_CHECKING:
    from agent.build.program.publication.user_registries import UserRegistries


@dataclass
class ResultOutput:
    """Sends the result of one build, and its caches. For one event loop. Calls raise as registries answer.

    Attributes:
        registries: with the user's credentials.
    """

    connection: AgentConnection
    workspace: Workspace
    cache: LayerCache
    publisher: Publisher
    export: CacheExport
    registries: "Callable[[], UserRegistries]"

    async def send(self, start: BuildStart, evaluation: Evaluation, result: Layers, executor: Executor) -> None:
        """As the request has it."""
        if start.output == BuildStart.IMAGE:
            await self._image(start, evaluation, result, executor)
        elif start.output in (BuildStart.DOCKER_ARCHIVE, BuildStart.OCI_ARCHIVE):
            await self._archive(start, evaluation, result, executor)
        else:
            if start.output == BuildStart.FILES:
                present = await self.cache.present(result)
                assert isinstance(present, Layers)
                await send_pieces(self.connection, result_files(present, self.workspace), _file_data)
            await self.export.export(result)
            await executor.complete("")
            await self.connection.output(BuildOutput(result=BuildResult()))

    async def _image(self, start: BuildStart, evaluation: Evaluation, result: Layers, executor: Executor) -> None:
        steps = self.export.inline(result)
        documents = await self.publisher.publish(evaluation, result, start, keeps=not start.part_of_index, steps=steps)
        await self.export.export(result)
        if start.push:
            await self.registries().push(documents.digest, start.push)
        await executor.complete(documents.config_blob.digest)
        await self.connection.published(documents.digest)

    async def _archive(self, start: BuildStart, evaluation: Evaluation, result: Layers, executor: Executor) -> None:
        steps = self.export.inline(result)
        documents = await self.publisher.publish(evaluation, result, start, keeps=False, steps=steps)
        await self.export.export(result)
        archive = self.cache.registry.client().archive(documents.digest, start.names)
        await send_pieces(self.connection, archive, _file_data)
        image_id = documents.config_blob.digest
        await executor.complete(image_id)
        built = BuildResult(digest=documents.digest, image_id=image_id, names=start.names)
        await self.connection.output(BuildOutput(result=built))


def _file_data(data: bytes) -> BuildOutput:
    return BuildOutput(file_data=data)
