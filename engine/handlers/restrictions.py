"""What the operator forbids to callers that are no administrators."""

from collections.abc import Awaitable, Callable, Set
from http import HTTPStatus

from engine.protocol.errors import ApiError
from engine.server.callers import ApiCaller
from engine.translate.containers.forbidden_features import (
    HOST_NETWORK,
    PRIVILEGED,
    SENTENCES,
    features_of,
    joined_containers,
    volume_features,
)
from shoal.api.v1.builds_pb2 import BuildStart
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.api.v1.service_pb2 import TaskTemplate
from shoal.api.v1.streams_pb2 import ExecStart
from shoal.api.v1.volume_pb2 import VolumeSpec

MAX_JOINED = 20
"""Containers that one is joined to by way of each other."""


class Restrictions:
    """Refuses requests as Docker does by an authorization plugin: 403, before anything is made.

    Args:
        forbid: features, some of `forbidden_features.SENTENCES`.
        find: a container by name or id, as of `ContainerLookup.find`.
    """

    def __init__(self, forbid: Set[str], find: Callable[[str], Awaitable[ContainerView]]) -> None:
        self._forbid = forbid
        self._find = find

    async def check_task(self, caller: ApiCaller, task: TaskTemplate) -> None:
        """A container, or a service, with what it joins of others. Raises ApiError: 403; 404, no such container."""
        if self._concerns(caller):
            self._refuse(await self._all_features(task, MAX_JOINED))

    async def check_use(self, caller: ApiCaller, view: ContainerView) -> None:
        """Commands in a container, its input, and its files: what it may, they may. Raises ApiError: 403."""
        await self.check_task(caller, view.container.definition.task)

    def check_exec(self, caller: ApiCaller, start: ExecStart) -> None:
        """A command in a container. Raises ApiError: 403."""
        if self._concerns(caller) and start.privileged:
            self._refuse({PRIVILEGED})

    def check_build(self, caller: ApiCaller, start: BuildStart) -> None:
        """A build. Raises ApiError: 403."""
        if not self._concerns(caller):
            return
        if start.network == "host" or "network.host" in start.entitlements:
            self._refuse({HOST_NETWORK})
        if "security.insecure" in start.entitlements:
            self._refuse({PRIVILEGED})

    def check_volume(self, caller: ApiCaller, spec: VolumeSpec) -> None:
        """Raises ApiError: 403."""
        if self._concerns(caller):
            self._refuse(volume_features(spec.options, spec.driver))

    def _concerns(self, caller: ApiCaller) -> bool:
        return bool(self._forbid) and not caller.is_admin

    async def _all_features(self, task: TaskTemplate, depth: int) -> Set[str]:
        found = set(features_of(task))
        networks, whole = joined_containers(task)
        for name in networks | whole:
            if not depth:
                return found | self._forbid
            other = (await self._find(name)).container.definition.task
            features = await self._all_features(other, depth - 1)
            found |= features if name in whole else features & {HOST_NETWORK}
        return found

    def _refuse(self, features: Set[str]) -> None:
        for feature, sentence in SENTENCES.items():
            if feature in features and feature in self._forbid:
                raise ApiError(HTTPStatus.FORBIDDEN, f"authorization denied by plugin shoal-engine: {sentence}")
