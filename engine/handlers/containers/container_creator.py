"""The creation of a container: the request's image, node and other containers looked up before a manager is asked."""

from collections.abc import Sequence

from engine.cluster.container_lookup import ContainerLookup
from engine.cluster.home_node import HomeNode
from engine.handlers.restrictions import Restrictions
from engine.protocol.docker_texts import name_taken
from engine.protocol.errors import ApiError, bad_request, not_found
from engine.server.call import Call
from engine.translate.containers.container_creation import Creation, familiar_image, read_creation
from engine.translate.containers.container_facts import identifier
from engine.translate.containers.container_mounts import has_host_paths
from engine.translate.fields import Fields
from engine.translate.images.image_facts import facts_of
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.control_pb2 import GetClusterRequest
from shoal.api.v1.engine_pb2 import ContainerView, CreateContainerRequest, GetImageRequest, ImageView
from shoal.api.v1.standalone_pb2 import ContainerDefinition
from shoal.errors import AlreadyExists, InvalidInput, NotFound
from shoal.image_reference import parse
from shoal.images.image_documents import choose_variant
from shoal.manager_calls.managers import Managers
from shoal.networks.network_modes import HOST

CREATE_SECONDS = 120.0


class ContainerCreator:
    """Creates containers of requests.

    Args:
        restrictions: what callers may not ask for.
    """

    def __init__(
        self, managers: Managers, lookup: ContainerLookup, home: HomeNode, *, restrictions: Restrictions
    ) -> None:
        self._managers = managers
        self._lookup = lookup
        self._home = home
        self._restrictions = restrictions

    async def create(self, call: Call) -> tuple[ContainerView, Sequence[str]]:
        """The container, and warnings for the client.

        Raises:
            ApiError: 404, there is no such image; 409, the name is taken; 400, the request cannot be honoured; 403, the
                operator forbids something of it.
        """
        body, name = await call.json_object(), call.text("name")
        image = await self._image(Fields(body).text("Image"))
        ports = facts_of(choose_variant(image)).keys_of("ExposedPorts") if image and image.image.variants else ()
        creation = read_creation(body, call.version, image_ports=ports)
        await self._restrictions.check_task(call.caller, creation.definition.task)
        if image is not None:
            creation.definition.task.container.image = await self._pinned(creation.image, image)
        _set_platform(creation.definition, call.text("platform"))
        await self._inherit_mounts(creation)
        await self._restrictions.check_task(call.caller, creation.definition.task)  # with what it inherits
        request = CreateContainerRequest(
            name=name, definition=creation.definition, node=await self._node(creation.definition)
        )
        view = await self._call(request, creation)
        return view, [*creation.warnings, *view.warnings]

    async def _call(self, request: CreateContainerRequest, creation: Creation) -> ContainerView:
        try:
            return await self._managers.call(self._managers.containers.CreateContainer, request, seconds=CREATE_SECONDS)
        except AlreadyExists as error:
            owner = await self._lookup.find(request.name)
            raise name_taken(error, request.name, identifier(owner)) from error
        except InvalidInput as error:
            raise _creation_error(error, creation) from error

    async def _image(self, name: str) -> ImageView | None:
        """The image in the cluster; None where the cluster has no image repository, so that nodes pull it themselves.

        Raises:
            ApiError: 404, it is not there: clients pull it then and try again.
        """
        if not name:
            raise bad_request("no image specified")
        try:
            return await self._managers.call(self._managers.images.GetImage, GetImageRequest(image=name))
        except InvalidInput as error:
            raise bad_request(f"invalid reference format: {error}") from error
        except NotFound:
            cluster = await self._managers.call(self._managers.control.GetCluster, GetClusterRequest())
            if not cluster.image_repository:
                return None
        raise not_found(f"No such image: {familiar_image(name)}")

    async def _pinned(self, asked: str, image: ImageView) -> str:
        """What was asked for by name; by digest where it was asked for by an id."""
        if (name := _named(asked, image)) or image.names:
            return name or f"{image.names[0]}@{image.image.digest}"
        cluster = await self._managers.call(self._managers.control.GetCluster, GetClusterRequest())
        return f"{cluster.image_repository}@{image.image.digest}"

    async def _node(self, definition: ContainerDefinition) -> str:
        """The home node where paths of a host are mounted and nothing says of which host; else any."""
        says_node = definition.beside or definition.task.placement.constraints
        if says_node or not (has_host_paths(definition.task.container.mounts) or _uses_host_network(definition)):
            return ""
        home = await self._home.find()
        if home is not None:
            return home.node.meta.id
        if not has_host_paths(definition.task.container.mounts):
            return ""
        raise bad_request(
            "bind mounts are of one node, and this engine has none of its own: name it by the variable "
            "constraint:node==NAME, or start the engine with --home-node"
        )

    async def _inherit_mounts(self, creation: Creation) -> None:
        """`VolumesFrom`: mounts of other containers where nothing else is mounted; on their node."""
        mounts = creation.definition.task.container.mounts
        taken = {mount.target for mount in mounts}
        for name, read_only in creation.volumes_from:
            other = await self._lookup.own(name)
            creation.definition.beside.append(other.container.meta.id)
            for mount in other.container.definition.task.container.mounts:
                if mount.type != Mount.TMPFS and mount.target not in taken:
                    taken.add(mount.target)
                    mounts.append(_inherited(mount, read_only=read_only))


def _uses_host_network(definition: ContainerDefinition) -> bool:
    return any(each.network == HOST for each in definition.task.networks)


def _inherited(mount: Mount, *, read_only: bool) -> Mount:
    same = Mount(type=mount.type, source=mount.source, target=mount.target, read_only=mount.read_only or read_only)
    same.propagation, same.recursive = mount.propagation, mount.recursive
    if mount.type == Mount.VOLUME:
        same.source = mount.volume.name or mount.source
        same.volume.subpath, same.volume.no_copy = mount.volume.subpath, True
    return same


def _named(asked: str, image: ImageView) -> str:
    """The name that was asked for; empty where it was asked for by an id."""
    try:
        reference = parse(asked).with_default_tag()
    except InvalidInput:
        return ""
    return str(reference) if reference.digest or str(reference) in image.names else ""


def _set_platform(definition: ContainerDefinition, platform: str) -> None:
    """A node of this platform: programs of others are not emulated."""
    if not platform:
        return
    system, *rest = platform.lower().split("/")
    if not (system and 1 <= len(rest) <= 2 and all(rest)):
        raise bad_request(f'"{platform}": unknown operating system or architecture: invalid argument')
    definition.task.placement.constraints.extend((f"node.platform.os == {system}", f"node.platform.arch == {rest[0]}"))


def _creation_error(error: InvalidInput, creation: Creation) -> ApiError:
    """404 where the image is missing, whereupon the docker CLI pulls it and asks again; else 400 with all faults."""
    for fault in error.faults:
        if "not found" not in fault.message:
            continue
        if "image" in fault.path:
            return not_found(f"No such image: {familiar_image(creation.image)}")
        if fault.path.endswith("runtime"):
            return bad_request(f"unknown or invalid runtime name: {creation.definition.task.container.runtime}")
        if "networks" in fault.path:
            return bad_request(fault.message.replace('"', ""))
    return bad_request(str(error))
