"""The call Build: chooses a node, passes the build through it, and names the result.

The node puts the image into the cluster's image repository; the names come last, so that none means less than a whole
image. Nothing is buffered: each side is flow-controlled by the other.
"""

import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Protocol

from manager.agents.agent_address import AgentAddress
from manager.builds.build_inputs import BuildInputs
from manager.builds.build_placement import choose_build_node
from manager.images.image_records import kept_record
from manager.interfaces import ImageResolver
from manager.records.object_lookup import hostname_of
from manager.store.record_store import RecordReader
from manager.validation.build_rules import check_build_start, check_name_index
from shoal import ids
from shoal.api.v1.builds_pb2 import (
    AgentBuildInput,
    AgentBuildOutput,
    AgentBuildStart,
    BuildInput,
    BuildOutput,
    BuildPlace,
    BuildResult,
    BuildStart,
    NameIndexRequest,
    ResolvedImage,
)
from shoal.api.v1.engine_pb2 import SetImageRequest
from shoal.api.v1.standalone_pb2 import Image
from shoal.errors import InvalidInput, Refused, ShoalError, Unavailable
from shoal.rpc.caller import Caller

_log = logging.getLogger(__name__)


class Builders(Protocol):
    """The agents, as of `manager.agents.build_channels.BuildChannels`."""

    def build(
        self, agent: AgentAddress, messages: AsyncIterator[AgentBuildInput]
    ) -> AsyncGenerator[AgentBuildOutput, None]: ...


class BuiltImages(Protocol):
    """`manager.images.image_repository_client.ImageRepositoryClient` is one."""

    @property
    def name(self) -> str:
        """The cluster's image repository. Raises Refused: there is none."""
        ...

    async def adopt(self, digest: str, name: str, *, is_kept: bool) -> Image:
        """As `ImageRepositoryClient.adopt`."""
        ...

    async def combine(self, digests: Sequence[str], *, oci: bool) -> str:
        """As `ImageRepositoryClient.combine`."""
        ...


class ImageNames(Protocol):
    """`manager.images.image_handler.ImageHandler` is one."""

    async def set(self, request: SetImageRequest, caller: Caller) -> Image:
        """Raises NotFound: it was removed meanwhile; Conflict."""
        ...


class NetworkRecords(Protocol):
    """`manager.builds.build_network_records.BuildNetworkRecords` is one."""

    async def make(self, network: str, build_id: str, node_id: str) -> str:
        """As `BuildNetworkRecords.make`."""
        ...


class BuildHandler:
    """The call. For one event loop."""

    def __init__(
        self,
        *,
        store: RecordReader,
        agents: Builders,
        repository: BuiltImages,
        images: ImageResolver,
        names: ImageNames,
        networks: NetworkRecords,
    ) -> None:
        self._networks = networks
        self._store = store
        self._agents = agents
        self._repository = repository
        self._images = images
        self._names = names
        self._builds: Counter[str] = Counter()

    async def build(self, messages: AsyncIterator[BuildInput], caller: Caller) -> AsyncGenerator[BuildOutput]:
        """Build an image on a node; the node's output.

        Raises:
            InvalidInput: with every fault of the request or of the Dockerfile. NotFound: a base image.
            Refused: a step failed, no node fits, or the cluster has no image repository. Exhausted: a bound.
            Unavailable: the node or a registry.
        """
        start = await _first(messages)
        repository = self._repository_for(start)
        node_id = choose_build_node(self._store.tables, start, self._builds)
        hostname = hostname_of(self._store.tables, node_id)
        described = ", ".join(start.names) or "an image without a name"
        _log.info("building %s on node %s by %s", described, hostname, caller)
        yield BuildOutput(place=BuildPlace(node_id=node_id, node_hostname=hostname))
        build_id = ids.new_id()
        with self._counted(node_id):
            task_id = await self._networks.make(start.network, build_id, node_id)
            sent = AgentBuildStart(build_id=build_id, image_repository=repository, start=start, network_task_id=task_id)
            async with aclosing(self._outputs(node_id, BuildInputs(sent, messages), start, caller)) as outputs:
                async for output in outputs:
                    yield output

    async def _outputs(
        self, node_id: str, inputs: BuildInputs, start: BuildStart, caller: Caller
    ) -> AsyncGenerator[BuildOutput]:
        agent = AgentAddress.of(node_id, self._store.tables.node_status[node_id].description)
        async with inputs, aclosing(self._agents.build(agent, inputs)) as outputs:
            async for output in outputs:
                if output.HasField("output"):
                    yield output.output
                elif output.resolve:
                    await inputs.answer(await self._resolved(output.resolve))
                elif output.published:
                    yield BuildOutput(result=await self._result(output.published, node_id, start, caller))
                    return

    async def name_index(self, request: NameIndexRequest, caller: Caller) -> BuildResult:
        """Make one image of several, each for another platform, and name it.

        Raises:
            InvalidInput: with every fault of the request, or two are for the same platform. NotFound: one is not there.
            Refused: the cluster has no image repository. Unavailable: its registry.
        """
        if faults := list(check_name_index(request)):
            raise InvalidInput(faults)
        digest = await self._repository.combine(request.digests, oci=request.media_types == "oci")
        return await self._named(digest, "", request.names, caller)

    async def _result(self, digest: str, node_id: str, start: BuildStart, caller: Caller) -> BuildResult:
        if start.part_of_index:
            return BuildResult(digest=digest)
        return await self._named(digest, node_id, start.names, caller)

    async def _resolved(self, reference: str) -> ResolvedImage:
        try:
            found = await self._images.resolve(reference)
        except ShoalError as error:
            return ResolvedImage(reference=reference, error=str(error))
        return ResolvedImage(reference=reference, resolved=found.reference_with_digest)

    async def _named(self, digest: str, node_id: str, names: Sequence[str], caller: Caller) -> BuildResult:
        first: Image | None = None
        for name in names or [""]:
            if node_id and (kept := kept_record(self._store.tables, digest, name, node_id)) is not None:
                first = first or kept  # the same image again: its node has just seen that it is there
                continue
            image = await self._repository.adopt(digest, name, is_kept=bool(node_id))
            image.built_on = node_id
            named = await self._names.set(SetImageRequest(image=image), caller)
            first = first or named
        if first is None or not first.variants:
            raise Unavailable(f"image {digest} has no platform in the cluster's image repository")
        image_id = first.variants[0].config_digest if len(first.variants) == 1 else digest
        return BuildResult(image=first, names=names, digest=digest, image_id=image_id)

    def _repository_for(self, start: BuildStart) -> str:
        """The cluster's image repository; empty where it has none and none is needed. Raises Refused."""
        try:
            return self._repository.name
        except Refused:
            if start.output == BuildStart.IMAGE and not start.check_only:
                raise
            return ""

    @contextmanager
    def _counted(self, node_id: str) -> Iterator[None]:
        self._builds[node_id] += 1
        try:
            yield
        finally:
            self._builds[node_id] -= 1


async def _first(messages: AsyncIterator[BuildInput]) -> BuildStart:
    """Raises InvalidInput: with every fault of the first message, or there is none."""
    first = await anext(messages, None)
    if first is None or not first.HasField("start"):
        raise InvalidInput("the first message must be `start`")
    if faults := list(check_build_start(first.start)):
        raise InvalidInput(faults)
    return first.start
