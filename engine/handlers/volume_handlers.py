"""Volumes: list, inspect, create, update, remove, prune."""

import secrets
from collections import Counter
from collections.abc import Iterable
from http import HTTPStatus

from aiohttp import web

from engine.cluster.removals import wait_until_gone
from engine.handlers.restrictions import Restrictions
from engine.protocol.errors import ApiError, bad_request, conflict, not_found, not_implemented
from engine.protocol.parameters import Filters, boolean_filter, check_keys
from engine.server.call import Call
from engine.server.routes import Route
from engine.translate.containers.container_facts import identifier
from engine.translate.containers.container_mounts import is_anonymous
from engine.translate.stack_labels import with_stack
from engine.translate.volumes import ANONYMOUS_LABEL, matches, read_volume, volume_document
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.control_pb2 import (
    CreateVolumeRequest,
    GetVolumeRequest,
    ListVolumesRequest,
    RemoveVolumeRequest,
    VolumeView,
)
from shoal.api.v1.engine_pb2 import ContainerView, ListContainersRequest
from shoal.errors import AlreadyExists, InvalidInput, NotFound, Refused
from shoal.filters.filter_set import has_label
from shoal.manager_calls.managers import SIZE_SECONDS, Managers

FILTERS = ("dangling", "driver", "label", "name")
ANONYMOUS_BYTES = 31
"""Of the name of a volume without one, in hexadecimal digits: names have 63 characters at most."""


class VolumeHandlers:
    """The operations on volumes."""

    def __init__(self, managers: Managers, *, restrictions: Restrictions) -> None:
        self._restrictions = restrictions
        self._managers = managers
        self._control = managers.control

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/volumes", self.list, "VolumeList"),
            Route("POST", "/volumes/create", self.create, "VolumeCreate"),
            Route("POST", "/volumes/prune", self.prune, "VolumePrune"),
            Route("GET", "/volumes/{name}", self.inspect, "VolumeInspect"),
            Route(
                "PUT",
                "/volumes/{name}",
                self.update,
                "VolumeUpdate",
                remark="501: CSI volumes have no availability of their own, nodes do",
            ),
            Route("DELETE", "/volumes/{name}", self.remove, "VolumeDelete"),
        ]

    async def list(self, call: Call) -> web.StreamResponse:
        filters = call.filters()
        check_keys(filters, FILTERS)
        if "dangling" in filters:
            boolean_filter(filters, "dangling", default=False)
        listed = await self._managers.call(self._control.ListVolumes, ListVolumesRequest())
        used = frozenset(await self.users(listed.volumes)) if "dangling" in filters else frozenset[str]()
        documents = [
            volume_document(each)
            for each in listed.volumes
            if matches(each, filters, used) and not each.volume.removing
        ]
        return call.json({"Volumes": documents, "Warnings": list(listed.warnings) or None})

    async def inspect(self, call: Call) -> web.StreamResponse:
        return call.json(volume_document(await self._find(call.parameters["name"])))

    async def create(self, call: Call) -> web.StreamResponse:
        """One that is there already is answered as it is, if the request is for the same."""
        spec = read_volume(await call.json_object(optional=True), secrets.token_hex(ANONYMOUS_BYTES), call.version)
        self._restrictions.check_volume(call.caller, spec)
        try:
            view = await self._managers.call(self._control.CreateVolume, CreateVolumeRequest(spec=spec))
        except AlreadyExists:
            view = await self._find(spec.name)
            known = view.volume.spec
            if (known.driver or "local") != spec.driver or (spec.options and known.options != spec.options):
                raise conflict(
                    f"a volume named {spec.name} already exists with the {known.driver or 'local'} driver: "
                    "choose a different volume name"
                ) from None
        except InvalidInput as error:
            raise bad_request(f"create {spec.name}: {error}") from error
        return call.json(volume_document(view), HTTPStatus.CREATED)

    async def update(self, _: Call) -> web.StreamResponse:
        """
        Raises:
            ApiError: 501.
        """
        raise not_implemented("volumes of CSI drivers have no availability of their own; drain the node")

    async def remove(self, call: Call) -> web.StreamResponse:
        """Refused while a container or a service uses it."""
        name = call.parameters["name"]
        request = RemoveVolumeRequest(volume=name, force=call.boolean("force"))
        try:
            await self._managers.call(self._control.RemoveVolume, request)
        except NotFound:
            if not call.boolean("force"):
                raise _no_volume(name) from None
        except Refused as error:
            raise conflict(f"remove {name}: volume is in use - {await self._in_use_by(name, error)}") from error
        await wait_until_gone(lambda: self._managers.call(self._control.GetVolume, GetVolumeRequest(volume=name)))
        return call.empty()

    async def prune(self, call: Call) -> web.StreamResponse:
        """Those that nothing uses: without a name of their own, or with `all=1` every one."""
        filters = call.filters()
        check_keys(filters, ("all", "label", "label!"))
        every = boolean_filter(filters, "all", default=False)
        request = ListVolumesRequest(include_sizes=True)
        listed = (await self._managers.call(self._control.ListVolumes, request, seconds=SIZE_SECONDS)).volumes
        used, removed, freed = await self.users(listed), [], 0
        for each in listed:
            spec = each.volume.spec
            if spec.name in used or not (every or ANONYMOUS_LABEL in spec.labels) or not _is_chosen(each, filters):
                continue
            try:
                await self._managers.call(self._control.RemoveVolume, RemoveVolumeRequest(volume=each.volume.meta.id))
            except (Refused, NotFound):
                continue
            removed.append(spec.name)
            freed += size_of(each)
        return call.json({"VolumesDeleted": removed or None, "SpaceReclaimed": freed})

    async def users(self, volumes: Iterable[VolumeView]) -> Counter[str]:
        """How many containers use each volume, by its name."""
        found: Counter[str] = Counter()
        for view in await self._containers():
            found.update(_volumes_of(view))
        for each in volumes:
            if each.services and each.volume.spec.name not in found:
                found[each.volume.spec.name] = len(each.services)
        return found

    async def _in_use_by(self, name: str, error: Refused) -> str:
        """Containers that use it, as Docker lists them; else the reason as it came."""
        using = [identifier(view) for view in await self._containers() if name in _volumes_of(view)]
        return f"[{', '.join(using)}]" if using else str(error)

    async def _containers(self) -> Iterable[ContainerView]:
        request = ListContainersRequest(all=True, include_tasks=True)
        return (await self._managers.call(self._managers.containers.ListContainers, request)).containers

    async def _find(self, name: str) -> VolumeView:
        try:
            return await self._managers.call(self._control.GetVolume, GetVolumeRequest(volume=name))
        except (NotFound, InvalidInput):
            raise _no_volume(name) from None


def _volumes_of(view: ContainerView) -> list[str]:
    """Names of the volumes that a container mounts."""
    mounts = view.container.definition.task.container.mounts
    return [
        each.volume.name or each.source
        for each in mounts
        if each.type == Mount.VOLUME and (each.volume.name or not is_anonymous(each))
    ]


def size_of(view: VolumeView) -> int:
    """Bytes on all nodes, as far as known."""
    return sum(max(each.used_bytes, 0) for each in view.locations)


def _is_chosen(view: VolumeView, filters: Filters) -> bool:
    labels = with_stack(view.volume.spec.labels, view.volume.spec.stack)
    required, excluded = filters.get("label", ()), filters.get("label!", ())
    return all(has_label(labels, text) for text in required) and not any(has_label(labels, text) for text in excluded)


def _no_volume(name: str) -> ApiError:
    return not_found(f"get {name}: no such volume")
