"""Containers as clients name them, and what documents of them need of networks and images."""

from collections import OrderedDict
from collections.abc import Iterable
from ipaddress import ip_network

from engine.protocol.errors import ApiError, bad_request, conflict, not_found
from engine.translate.containers.container_facts import NetworkFacts, Surroundings, given_name, linked_names
from engine.translate.images.image_facts import ImageFacts, facts_of
from engine.translate.object_ids import builtin_network_id, docker_id, reference
from shoal.api.v1.control_pb2 import ListNetworksRequest, NetworkView
from shoal.api.v1.engine_pb2 import (
    ContainerView,
    Filter,
    GetContainerRequest,
    GetImageRequest,
    ListContainersRequest,
)
from shoal.container_ids import container_id, is_beginning
from shoal.errors import InvalidInput, NotFound
from shoal.images.image_documents import choose_variant
from shoal.manager_calls.managers import CALL_SECONDS, SIZE_SECONDS, Managers
from shoal.networks.network_modes import BRIDGE, HOST, NONE

CACHED_IMAGES = 1000


class ContainerLookup:
    """Finds containers by name or id, of a user's own and of services."""

    def __init__(self, managers: Managers) -> None:
        self._managers = managers
        self._images: OrderedDict[str, ImageFacts] = OrderedDict()

    async def find(self, name: str, *, sizes: bool = False) -> ContainerView:
        """A container by name, id or the beginning of an id.

        Args:
            sizes: of its files too, which its node has to count.
        Raises:
            ApiError: 404, there is none; 400, several ids begin so.
        """
        request = GetContainerRequest(container=reference(name), include_sizes=sizes)
        try:
            return await self._managers.call(
                self._managers.containers.GetContainer, request, seconds=SIZE_SECONDS if sizes else CALL_SECONDS
            )
        except NotFound:
            return await self._find_task(name)
        except InvalidInput:
            raise bad_request(f"multiple IDs found with provided prefix: {name}") from None

    async def own(self, name: str) -> ContainerView:
        """The same, but no task of a service: for what would not last.

        Raises:
            ApiError: 409, it is one.
        """
        view = await self.find(name)
        if not view.container.meta.id:
            service = view.container.name.partition(".")[0]
            raise conflict(f"container {name} is a task of service {service}: change the service instead")
        return view

    async def around(self, views: Iterable[ContainerView], *, view: str = "") -> Surroundings:
        """Networks, and the images of these containers.

        Args:
            view: of the manager's records that they were read of just now, as of `Managers.read`.
        """
        views = list(views)
        listed = await self._managers.read(self._managers.control.ListNetworks, ListNetworksRequest(), view=view)
        networks = {each.network.meta.id: network_facts(each) for each in listed.message.networks}
        for mode in (BRIDGE, HOST, NONE):
            networks[mode] = NetworkFacts(mode, builtin_network_id(mode))
        images = {}
        for image in {each.container.definition.task.container.image for each in views}:
            images[image] = await self.image_facts(image)
        return Surroundings(networks, images, linked_names(views))

    async def image_facts(self, image: str) -> ImageFacts:
        """Defaults that an image gives to containers; none where it is not in the cluster any more."""
        known = self._images.get(image)
        if known is not None:
            self._images.move_to_end(image)
            return known
        try:
            digest = image.partition("@")[2]
            view = await self._managers.call(self._managers.images.GetImage, GetImageRequest(image=digest or image))
            found = facts_of(choose_variant(view))
        except (NotFound, InvalidInput):
            return ImageFacts()
        if "@" in image:  # what a digest means does not change
            self._images[image] = found
            while len(self._images) > CACHED_IMAGES:
                self._images.popitem(last=False)
        return found

    async def _find_task(self, name: str) -> ContainerView:
        """A task of a service, by its name, its service's `container_name`, or the beginning of its container id."""
        name_or_digits = name.removeprefix("/")
        request = ListContainersRequest(all=True, include_tasks=True, filters=[Filter(key="is-task", value="true")])
        listed = await self._managers.call(self._managers.containers.ListContainers, request)
        found = [
            each
            for each in listed.containers
            if each.container.name == name_or_digits
            or (is_beginning(name_or_digits) and container_id(each.task.id).startswith(name_or_digits))
        ]
        named = [each for each in listed.containers if given_name(each) == name_or_digits]
        if not found and named:  # a service of one task: the newest that has the name
            return max(named, key=lambda each: each.task.created_at_ms)
        if len(found) > 1:
            raise bad_request(f"multiple IDs found with provided prefix: {name}")
        if not found:
            raise no_such_container(name)
        return found[0]


def no_such_container(name: str) -> ApiError:
    """404 with Docker's words."""
    return not_found(f"No such container: {name}")


def reference_of(view: ContainerView) -> str:
    """What managers take for a container that was found."""
    return view.container.meta.id or view.task.id


def network_facts(view: NetworkView) -> NetworkFacts:
    """What documents of containers show of a network."""
    spec, allocation = view.network.spec, view.allocation
    return NetworkFacts(
        name=spec.name,
        id=docker_id(view.network.meta.id),
        prefix=_prefix(allocation.subnet),
        gateway=spec.gateway,
        prefix6=_prefix(allocation.subnet6),
        gateway6=spec.gateway6,
    )


def _prefix(subnet: str) -> int:
    return ip_network(subnet, strict=False).prefixlen if subnet else 0
