"""The call CommitContainer: a container's changes as a new image of the cluster.

The node puts the layer into the cluster's image repository, a manager the configuration and the manifest, and the name
comes last, in one transaction: whatever ends on the way, no name means less than a whole image.
"""

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Protocol

from manager.agents.agent_address import AgentAddress
from manager.containers.node_calls.committed_settings import command_line, committed_settings
from manager.containers.node_calls.container_target import ContainerTarget, made_container_target
from manager.interfaces import NowMs
from manager.records.object_lookup import container_of_name
from manager.store.record_store import RecordReader
from manager.store.tables import View
from shoal.api.v1.agent_containers_pb2 import CommitLayerRequest, CommitLayerResponse
from shoal.api.v1.engine_pb2 import CommitContainerRequest, SetImageRequest
from shoal.api.v1.standalone_pb2 import ContainerDefinition, Image
from shoal.distribution.manifests import Descriptor
from shoal.errors import Fault, InvalidInput, NotFound
from shoal.image_reference import parse
from shoal.images.committed_image import CommitNote, CommittedImage, CommittedLayer, ImageBelow, committed_image
from shoal.images.config_changes import apply_changes
from shoal.images.repository_name import record_name
from shoal.rpc.caller import Caller

MAX_NOTE_CHARACTERS = 4096
"""Of author and message, each."""

_log = logging.getLogger(__name__)


class LayerCommitter(Protocol):
    """The agents, as of `manager.agents.container_channels.ContainerChannels`."""

    async def commit_layer(self, agent: AgentAddress, request: CommitLayerRequest) -> CommitLayerResponse: ...


class ImagePublisher(Protocol):
    """`manager.images.image_repository_client.ImageRepositoryClient` is one."""

    @property
    def name(self) -> str:
        """The cluster's image repository. Raises Refused: there is none."""
        ...

    async def publish(self, image: CommittedImage, name: str) -> Image:
        """As `ImageRepositoryClient.publish`."""
        ...


class CommittedImageNames(Protocol):
    """`manager.images.image_handler.ImageHandler` is one."""

    async def set(self, request: SetImageRequest, caller: Caller) -> Image:
        """Raises NotFound: it was removed meanwhile; Conflict."""
        ...


class ContainerCommit:
    """The call. Containers of one's own, whether they run or not, and running tasks of services."""

    def __init__(
        self,
        *,
        store: RecordReader,
        agents: LayerCommitter,
        publisher: ImagePublisher,
        names: CommittedImageNames,
        now_ms: NowMs,
    ) -> None:
        self._store = store
        self._agents = agents
        self._publisher = publisher
        self._names = names
        self._now_ms = now_ms

    async def commit(self, request: CommitContainerRequest, caller: Caller) -> Image:
        """The new image, named.

        Raises:
            InvalidInput: with every fault. NotFound: there is no such container.
            Refused: the cluster has no image repository, or the image below the container is not known.
            Unavailable: its node is away, or the registry fails. Exhausted: the node's disk is filling up.
        """
        name = _checked(request)
        target = await made_container_target(self._store, request.container)
        definition = _definition(self._store.tables, request.container, target)
        _log.info("committing container %s as %s by %s", target.identifier, name or "an image without a name", caller)
        sent = CommitLayerRequest(
            container=target.identifier,
            image_repository=self._publisher.name,
            image=definition.task.container.image,
            no_pause=request.no_pause,
        )
        answer = await self._agents.commit_layer(target.agent, sent)
        image = await self._publisher.publish(self._image(request, definition, answer), name)
        image.parent = f"sha256:{sha256(answer.config).hexdigest()}"
        return await self._names.set(SetImageRequest(image=image), caller)

    def _image(
        self, request: CommitContainerRequest, definition: ContainerDefinition, answer: CommitLayerResponse
    ) -> CommittedImage:
        blob = Descriptor(answer.media_type, answer.digest, answer.size) if answer.digest else None
        below = ImageBelow(answer.manifest, answer.config)
        settings = committed_settings(json.loads(below.config).get("config") or {}, definition)
        created = datetime.fromtimestamp(self._now_ms() / 1000, UTC).isoformat().replace("+00:00", "Z")
        note = CommitNote(created, command_line(settings), request.author, request.message)
        changed = apply_changes(settings, request.changes)
        return committed_image(below, CommittedLayer(blob, answer.diff_id), changed, note)


def _checked(request: CommitContainerRequest) -> str:
    """The name for the image's record; empty for none. Raises InvalidInput with every fault."""
    faults, name = [*_note_faults(request)], ""
    try:
        apply_changes({}, request.changes)
    except InvalidInput as error:
        faults.extend(error.faults)
    try:
        name = _record_name(request.name)
    except InvalidInput as error:
        faults.extend(Fault("name", fault.message) for fault in error.faults)
    if faults:
        raise InvalidInput(faults)
    return name


def _note_faults(request: CommitContainerRequest) -> Sequence[Fault]:
    given = (("author", request.author), ("message", request.message))
    text = f"is too long; the maximum is {MAX_NOTE_CHARACTERS} characters"
    return [Fault(key, text) for key, value in given if len(value) > MAX_NOTE_CHARACTERS]


def _record_name(name: str) -> str:
    if not name:
        return ""
    reference = parse(name)
    if reference.digest:
        raise InvalidInput("must have a tag and no digest")
    return record_name(reference)


def _definition(view: View, reference: str, target: ContainerTarget) -> ContainerDefinition:
    container = container_of_name(view, reference)
    if container is not None:
        return container.definition
    task = view.tasks.get(target.identifier)
    revision = view.revision_of(task.service_id, task.revision) if task is not None else None
    if revision is None:
        raise NotFound(f'container "{reference}" not found')
    return ContainerDefinition(task=revision.spec.task, ports=revision.spec.endpoint.ports)
