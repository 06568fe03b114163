"""What the operator forbids to callers that are no administrators."""

from collections.abc import Set
from http import HTTPStatus

from engine.protocol.errors import ApiError
from engine.server.callers import Caller
from engine.translate.forbidden_features import PRIVILEGED, SENTENCES, features_of, volume_features
from shoal.api.v1.service_pb2 import TaskTemplate
from shoal.api.v1.streams_pb2 import ExecStart
from shoal.api.v1.volume_pb2 import VolumeSpec


class Restrictions:
    """Refuses requests as Docker does by an authorization plugin: 403, before anything is made.

    Args:
        forbid: features, some of `forbidden_features.SENTENCES`.
    """

    def __init__(self, forbid: Set[str] = frozenset()) -> None:
        self._forbid = forbid

    def check_task(self, caller: Caller, task: TaskTemplate) -> None:
        """A container, or a service. Raises ApiError: 403."""
        self._check(caller, features_of(task))

    def check_exec(self, caller: Caller, start: ExecStart) -> None:
        """A command in a container. Raises ApiError: 403."""
        self._check(caller, {PRIVILEGED} if start.privileged else frozenset())

    def check_volume(self, caller: Caller, spec: VolumeSpec) -> None:
        """Raises ApiError: 403."""
        self._check(caller, volume_features(spec.options, spec.driver))

    def _check(self, caller: Caller, features: Set[str]) -> None:
        if caller.is_admin:
            return
        for feature, sentence in SENTENCES.items():
            if feature in features and feature in self._forbid:
                raise ApiError(HTTPStatus.FORBIDDEN, f"authorization denied by plugin shoal-engine: {sentence}")
